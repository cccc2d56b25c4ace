import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor
from sklearn_dl.images import ImageReadError
from tests.scoring.onnx_graphs import mean_color, model, node, two_layers

IMAGES = list(np.random.default_rng(0).integers(0, 256, (20, 4, 5, 3), dtype=np.uint8))
MEANS = np.mean(IMAGES, axis=(1, 2))
BAD = [0, 4, 5, 6, 7, 19]  # the second batch of 4 fails as a whole
GOOD = np.setdiff1d(np.arange(20), BAD)


def pixels(images, on_error="raise", **params):
    steps = ImageLoader(on_error=on_error), ImageResizer(5, 4), PixelExtractor(**params)
    return make_pipeline(*steps).transform(images)


def damaged(rows):
    return [b"no image" if row in rows else image for row, image in enumerate(IMAGES)]


def brightest(output_type=np.int64, batch="N"):
    """The channel with the largest mean (an integer), or the grey level as a string."""
    nodes = [node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0)]
    nodes.append(
        node("ArgMax", ["m"], ["y"], axis=1)
        if output_type == np.int64
        else node("Cast", ["m"], ["y"], to=8)
    )
    width = 1 if output_type == np.int64 else 3
    return model(
        nodes, {"x": (np.float32, [batch, 3, "H", "W"])}, {"y": (output_type, [batch, width])}
    )


@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_same_as_the_dense_array(batch, n_threads):
    lazy = pixels(IMAGES)
    scorer = OnnxScorer(mean_color(batch), batch_size=4, n_threads=n_threads)
    out = scorer.fit(lazy).transform(lazy)
    assert out.dtype == np.float32
    assert_array_equal(out, scorer.transform(np.asarray(lazy)))
    assert_allclose(out, MEANS, rtol=1e-5)


def test_float16_pixels_for_a_float32_graph():
    assert_allclose(
        OnnxScorer(mean_color()).transform(pixels(IMAGES, dtype="float16")), MEANS, 1e-4
    )


@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_failed_rows_are_nan_and_never_scored(batch, n_threads, monkeypatch):
    from sklearn_dl.runtimes.onnx import _graph as _onnx_graph

    fed = []
    run = _onnx_graph.OnnxSession.run
    monkeypatch.setattr(
        _onnx_graph.OnnxSession,
        "run",
        lambda self, feeds: fed.append(feeds["x"].copy()) or run(self, feeds),
    )
    scorer = OnnxScorer(mean_color(batch), batch_size=4, n_threads=n_threads)
    with pytest.warns(UserWarning, match=r"^6 of 20 images .*Row 0: cannot read <8 bytes>") as seen:
        out = scorer.transform(pixels(damaged(BAD), "nan"))
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert np.isnan(out[BAD]).all()
    assert_allclose(out[GOOD], MEANS[GOOD], rtol=1e-6)
    given = {image.astype(np.float32).transpose(2, 0, 1).tobytes() for image in IMAGES}
    assert all(row.tobytes() in given for feed in fed for row in feed)


def test_integers_become_float64_and_strings_none():
    X = pixels(damaged(BAD), "nan")
    with pytest.warns(UserWarning, match="6 of 20"):
        integers = OnnxScorer(brightest()).transform(X)
    assert integers.dtype == np.float64
    assert np.isnan(integers[BAD]).all()
    assert_array_equal(integers[GOOD, 0], MEANS[GOOD].argmax(axis=1))
    with pytest.warns(UserWarning, match="6 of 20"):
        strings = OnnxScorer(brightest(str)).transform(X)
    assert strings[BAD].tolist() == [[None] * 3] * 6
    assert_allclose(strings[GOOD].astype(float), MEANS[GOOD], rtol=1e-5)


def test_failed_rows_with_native_shape():
    nodes = [
        node("ReduceMean", ["x"], ["m"], axes=[2, 3]),
        node("ReduceMax", ["x"], ["top"], axes=[1, 2, 3], keepdims=0),
    ]
    made = model(
        nodes,
        {"x": (np.float32, ["N", 3, "H", "W"])},
        {"m": (np.float32, ["N", 3, 1, 1]), "top": (np.float32, ["N"])},
    )
    with pytest.warns(UserWarning, match="1 of 20"):
        out = OnnxScorer(made, output_shape="native").transform(pixels(damaged([3]), "nan"))
    assert out["m"].shape == (20, 3, 1, 1)
    assert np.isnan(out["m"][3]).all()
    assert np.isnan(out["top"]).nonzero()[0].tolist() == [3]


def test_all_rows_failed():
    X = pixels([IMAGES[0], b"no"], "nan")[1:]
    with pytest.warns(UserWarning, match="1 of 1 images"):
        out = OnnxScorer(mean_color()).transform(X)
    assert out.dtype == np.float32
    assert_array_equal(out, [[np.nan] * 3])
    with pytest.warns(UserWarning, match="1 of 1 images"):
        assert_array_equal(OnnxScorer(brightest()).transform(X), [[np.nan]])
    made = mean_color()
    made.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "C"
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "C"
    with pytest.raises(
        ValueError, match=r"No row could be scored.*'y': call fit .*Row 0: cannot read"
    ):
        OnnxScorer(made).transform(X)


def test_fit_passes_over_failed_rows():
    made = mean_color()
    for tensor in (made.graph.input[0], made.graph.output[0]):
        tensor.type.tensor_type.shape.dim[1].dim_param = "C"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer = OnnxScorer(made).fit(pixels(damaged([0, 1]), "nan"))
    assert scorer.get_feature_names_out().tolist() == ["y_0", "y_1", "y_2"]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_the_first_bad_row_raises(n_threads):
    with pytest.raises(ImageReadError, match="Row 4: cannot read <8 bytes>") as caught:
        OnnxScorer(mean_color(), n_threads=n_threads).transform(pixels(damaged([4, 7, 13])))
    assert (caught.value.row, caught.value.source) == (4, "<8 bytes>")


def test_pixels_that_do_not_fit():
    fixed = mean_color()
    fixed.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9
    with pytest.raises(ValueError, match=r"\('N', 3, 9, 'W'\), float32; X has .* \(3, 4, 5\)"):
        OnnxScorer(fixed).transform(pixels(IMAGES))
    with pytest.raises(ValueError, match=r"X has rows of shape \(4, 5, 3\)"):
        OnnxScorer(mean_color()).transform(pixels(IMAGES, layout="NHWC"))
    with pytest.raises(ValueError, match=r"expects 'x': shape \('N', 3\)"):
        OnnxScorer(two_layers()).transform(pixels(IMAGES))
    with pytest.raises(ValueError, match=r"X has rows of shape \(4, 5, 3\)"):
        OnnxScorer(mean_color()).transform(pixels(IMAGES, layout="NHWC")[:0])


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_frames_keep_the_index(container):
    names = pd.DataFrame({"image": IMAGES[:3]}, index=[30, 10, 20])
    pipe = make_pipeline(ImageLoader(), PixelExtractor(), OnnxScorer(mean_color()))
    out = pipe.set_output(transform=container).fit_transform(names)
    assert list(out.columns) == ["y_0", "y_1", "y_2"]
    assert_allclose(out.to_numpy(), MEANS[:3], rtol=1e-5)
    if container == "pandas":
        assert out.index.tolist() == [30, 10, 20]


def test_progress_counts_failed_rows(capfd):
    with pytest.warns(UserWarning, match="6 of 20"):
        OnnxScorer(mean_color(), verbose=1).transform(pixels(damaged(BAD), "nan"))
    assert "20/20" in capfd.readouterr().err
