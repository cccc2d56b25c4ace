"""The detector whose weights a package carries, on characters drawn over an image."""

import sys
from importlib import metadata

import numpy as np
import pytest
import skimage
from PIL import Image, ImageDraw, ImageFont

from sklearn_dl import DetectionScorer
from sklearn_dl.export import to_onnx
from sklearn_dl.metrics import box_iou
from sklearn_dl.models import model_card

NAME = "ddddocr-detector"
LETTERS = [
    ("C", 60, 250, "lightblue"),
    ("O", 150, 40, "purple"),
    ("F", 280, 100, "lightgreen"),
    ("F", 360, 230, "navy"),
    ("E", 480, 60, "white"),
    ("E", 520, 270, "magenta"),
]


def installed():
    try:
        return metadata.version("ddddocr")
    except metadata.PackageNotFoundError:
        return None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.real,
    pytest.mark.skipif(
        installed() is None, reason='ddddocr is not installed: pip install "sklearn-dl[detection]"'
    ),
]


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """The cache of models is a folder that is removed."""
    monkeypatch.setenv("SKLEARN_DL_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def detector():
    return DetectionScorer(NAME, format="yolox", classes=model_card(NAME).labels)


def image_with_letters(shape=(600, 400)):
    """An image with letters over it, and the boxes of the letters."""
    image = Image.fromarray(skimage.data.coffee()).resize(shape)
    draw, font, boxes = ImageDraw.Draw(image), ImageFont.load_default(60), []
    for letter, x, y, color in LETTERS:
        draw.text((x, y), letter, fill=color, font=font)
        boxes.append(draw.textbbox((x, y), letter, font=font))
    return image, boxes


def edges(found):
    return np.stack([found[name] for name in ("x0", "y0", "x1", "y1")], axis=1)


def test_letters_over_an_image(detector):
    image, boxes = image_with_letters()
    (found,) = detector.predict([image])
    assert found["label"].tolist() == ["character"] * len(LETTERS)
    overlaps = box_iou(boxes, edges(found))
    assert (overlaps.max(axis=0) > 0.5).all()
    assert (overlaps.max(axis=1) > 0.5).all()
    assert len(detector.predict([skimage.data.coffee()])[0]) == 0
    assert "ddddocr" not in sys.modules


def test_letters_in_a_large_image_are_found_in_tiles(detector):
    image, boxes = image_with_letters(shape=(2400, 1600))
    assert len(detector.predict([image])[0]) < 3
    (found,) = detector.set_params(tile=416).predict([image])
    overlaps = box_iou(boxes, edges(found))
    assert (overlaps.max(axis=1) > 0.5).all()
    assert ((overlaps > 0.5).sum(axis=1) == 1).all()


def test_the_exported_file_finds_the_same(detector):
    onnxruntime = pytest.importorskip("onnxruntime")
    image = np.asarray(image_with_letters()[0])
    session = onnxruntime.InferenceSession(to_onnx(detector, [image]).SerializeToString())
    boxes, scores, labels = session.run(["boxes", "scores", "labels"], {"image": image[None]})
    (found,) = detector.predict([image])
    assert labels.tolist() == found["label"].tolist()
    np.testing.assert_allclose(boxes, edges(found), atol=0.5)
    np.testing.assert_allclose(scores, found["score"], atol=0.02)
