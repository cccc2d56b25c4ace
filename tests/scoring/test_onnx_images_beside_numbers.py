"""Images beside other columns in one network: the scorer makes the pixels, as `pixels` says."""

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor
from tests.scoring.onnx_graphs import model, node

IMAGES = [np.full((9, 9, 3), level, np.uint8) for level in (10, 20, 30, 40)]
INPUTS = {"image": "image", "meta": ["age", "sex"]}


def colors_and_meta(batch="N", shape=(3, 4, 4), axes=(2, 3)):
    """y = mean colours beside the numbers."""
    nodes = [
        node("ReduceMean", ["image"], ["colors"], axes=list(axes), keepdims=0),
        node("Concat", ["colors", "meta"], ["y"], axis=1),
    ]
    inputs = {"image": (np.float32, [batch, *shape]), "meta": (np.float32, [batch, 2])}
    return model(nodes, inputs, {"y": (np.float32, [batch, 5])})


def lazy(cells, on_error="raise"):
    return make_pipeline(ImageLoader(on_error=on_error), ImageResizer(4, 4)).transform(cells)


def table(cells=IMAGES, on_error="raise"):
    numbers = np.arange(len(cells), dtype=float)
    return pd.DataFrame(
        {"image": lazy(cells, on_error)[:, 0], "age": numbers, "sex": numbers + 0.5},
        index=[7, 5, 7, -1][: len(cells)],
    )


EXPECTED = [[level] * 3 + [row, row + 0.5] for row, level in enumerate((10, 20, 30, 40))]


@pytest.mark.parametrize("batch_size", [1, 3, "auto"])
def test_a_frame(batch_size):
    scorer = OnnxScorer(
        colors_and_meta(), inputs=INPUTS, pixels={"image": PixelExtractor()}, batch_size=batch_size
    )
    assert_allclose(scorer.fit(table()).transform(table()), EXPECTED)
    out = scorer.set_output(transform="pandas").transform(table())
    assert out.index.tolist() == [7, 5, 7, -1]


def test_scale_and_layout():
    halved = PixelExtractor(offset=2, scale=0.5, layout="NHWC", colors="BGR")
    scorer = OnnxScorer(
        colors_and_meta(shape=(4, 4, 3), axes=(1, 2)), inputs=INPUTS, pixels={"image": halved}
    )
    X = table([np.full((9, 9, 3), (10, 20, 30), np.uint8)])
    assert_allclose(scorer.transform(X), [[14, 9, 4, 0, 0.5]])
    copied = clone(scorer)
    assert copied.pixels["image"] is not halved
    assert_allclose(copied.transform(X), [[14, 9, 4, 0, 0.5]])


@pytest.mark.parametrize("container", ["default", "pandas", "polars"])
def test_behind_a_column_transformer(container, tmp_path):
    frame = pd.DataFrame({"age": [0, 1, 2, 3], "image": pd.Series(IMAGES), "half": [0.5] * 4})
    columns = ColumnTransformer(
        [
            ("image", make_pipeline(ImageLoader(), ImageResizer(4, 4)), ["image"]),
            ("meta", MaxAbsScaler(), ["age"]),
            ("sex", "passthrough", ["half"]),
        ]
    ).set_output(transform=container)
    scorer = OnnxScorer(
        colors_and_meta(),
        inputs={"image": 0, "meta": [1, 2]},
        pixels={"image": PixelExtractor()},
    )
    out = make_pipeline(columns, scorer).fit_transform(frame)
    assert_allclose(out, [[*row[:3], row[3] / 3, 0.5] for row in EXPECTED], rtol=1e-6)
    joblib.dump(scorer, tmp_path / "scorer.joblib")
    again = joblib.load(tmp_path / "scorer.joblib")
    assert_allclose(again.transform(columns.transform(frame)), out)


@pytest.mark.parametrize("batch", ["N", 3])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_an_image_that_cannot_be_read_shifts_no_row(batch, batch_size):
    X = table([IMAGES[0], b"no image", IMAGES[2], IMAGES[3]], on_error="nan")
    scorer = OnnxScorer(
        colors_and_meta(batch),
        inputs=INPUTS,
        pixels={"image": PixelExtractor()},
        batch_size=batch_size,
    )
    with pytest.warns(UserWarning, match="1 of 4 images could not be read"):
        out = scorer.transform(X)
    assert np.isnan(out[1]).all()
    assert_allclose(out[[0, 2, 3]], np.array(EXPECTED)[[0, 2, 3]])


def test_two_images_of_which_either_may_fail():
    shape = (np.float32, ["N", 3, 4, 4])
    proto = model([node("Sub", ["a", "b"], ["y"])], {"a": shape, "b": shape}, {"y": shape})
    cells = [IMAGES[0], b"", IMAGES[2], IMAGES[3]], [b"", IMAGES[1], IMAGES[1], IMAGES[0]]
    X = {name: lazy(images, "nan") for name, images in zip("ab", cells, strict=True)}
    scorer = OnnxScorer(proto, pixels={"a": PixelExtractor(), "b": PixelExtractor()}, batch_size=4)
    with pytest.warns(UserWarning, match="2 of 4 images could not be read"):
        out = scorer.transform(X)
    assert_array_equal(out[:, 0], [np.nan, np.nan, 10, 30])
    pixels = {name: PixelExtractor().transform(images) for name, images in X.items()}
    with pytest.warns(UserWarning, match="2 of 4"):
        assert_array_equal(scorer.set_params(pixels=None).transform(pixels), out)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (None, r"got images, not numbers: .*pixels=\{'image': PixelExtractor"),
        ({"other": PixelExtractor()}, r"`pixels` names unknown inputs \['other'\]"),
        ({"image": PixelExtractor(layout="flat")}, "layout is 'NCHW' or 'NHWC'"),
        ({"image": {"scale": 1}}, r"pixels\['image'\] must be a PixelExtractor"),
        ({"image": PixelExtractor(layout="NHWC")}, r"X has rows of shape \(4, 4, 3\)"),
        ({"image": PixelExtractor(), "meta": PixelExtractor()}, "X has no images for it"),
    ],
    ids=[
        "none",
        "of an unknown input",
        "flat layout",
        "not a PixelExtractor",
        "other layout",
        "of numbers",
    ],
)
def test_wrong_pixels(pixels, message):
    with pytest.raises(ValueError, match=message):
        OnnxScorer(colors_and_meta(), inputs=INPUTS, pixels=pixels).transform(table())


def test_images_among_other_cells():
    X = table()
    X.iloc[2, 0] = None
    scorer = OnnxScorer(colors_and_meta(), inputs=INPUTS, pixels={"image": PixelExtractor()})
    with pytest.raises(
        ValueError, match=r"Row 2 \(index 7\): PixelExtractor takes .* got NoneType"
    ):
        scorer.transform(X)
    scorer.set_params(inputs={"image": ["image", "age"], "meta": ["age", "sex"]})
    with pytest.raises(ValueError, match="takes one column of images, got 2 columns"):
        scorer.transform(table())
    with pytest.raises(ValueError, match="'image', but X has no images for it"):
        scorer.set_params(inputs=None).transform(
            {"image": PixelExtractor().transform(lazy(IMAGES)), "meta": np.ones((4, 2))}
        )
