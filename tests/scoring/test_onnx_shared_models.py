"""Real files, and what ML.NET's own tests expect of them (mlnet.md, section 2)."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.datasets import load_digits, load_iris
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor
from tests.scoring.onnx_graphs import SHARED, needs_shared

pytestmark = needs_shared
SMALL = SHARED / "mlnet_small"


def test_two_inputs():
    X = np.tile(np.arange(1.0, 6.0), (4, 2))
    inputs = {"ina": slice(0, 5), "inb": slice(5, 10)}
    native = OnnxScorer(SMALL / "twoinput.onnx", inputs=inputs, output_shape="native").transform(X)
    assert native["outa"].shape == (4, 1, 1, 5)
    assert_array_equal(native["outa"].sum(axis=(1, 2, 3)), [0] * 4)
    assert_array_equal(native["outb"].sum(axis=(1, 2, 3)), [30] * 4)
    turned = OnnxScorer(SMALL / "twoinput.onnx", inputs=inputs, outputs=["outb", "outa"])
    assert_array_equal(turned.transform(X)[:, :5].sum(axis=1), [30] * 4)
    columns = pd.DataFrame({"ina": list(X[:, :5]), "inb": list(X[:, 5:])})
    with pytest.raises(ValueError, match=r"expects 'ina': shape \(1, 1, 1, 5\)"):
        OnnxScorer(SMALL / "twoinput.onnx").transform(columns.map(lambda cell: cell[:4]))
    assert_array_equal(OnnxScorer(SMALL / "twoinput.onnx").transform(columns).sum(axis=1), [30] * 4)


def test_unknown_dimensions():
    X = [[1.1, 1.3, 1.2], [-1.1, -1.3, -1.2], [-1.1, -1.3, 1.2]]
    out = OnnxScorer(SMALL / "test_unknowndimensions_float.onnx").transform(X)
    assert out.dtype == np.int64
    assert out.tolist() == [[1], [0], [2]]


def test_linear_regression():
    out = OnnxScorer(SMALL / "linear_regression.onnx").transform(load_iris().data[[0, 50, 100]])
    assert_allclose(out[:, 0], [-0.080, 1.204, 2.27], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "keys", "columns"),
    [("Int64", ["17", "36", "94"], [1, 2, 0]), ("String", ["A", "B", "C"], [0, 1, 2])],
    ids=["integers", "strings"],
)
def test_zip_map(name, keys, columns):
    X = np.array([[1, 2, 3], [8, 7, 6]])
    scorer = OnnxScorer(SMALL / f"TestZipMap{name}.onnx").set_output(transform="pandas")
    out = scorer.fit_transform(X)
    assert out.columns.tolist() == keys
    assert_array_equal(out, X[:, columns])


def test_squeezenet(capfd):
    golden = np.load(SHARED / "squeezenet_fp16" / "golden_mlnet_bench_expected.npz")
    expected = golden[golden.files[0]].reshape(1, 1000)
    X = np.random.RandomState(0).randn(1, 3, 224, 224)
    scorer = OnnxScorer(SHARED / "squeezenet_fp16" / "SqueezeNet_fp16.onnx")
    out = scorer.transform(X)
    assert out.dtype == np.float16
    assert np.abs(out - expected).max() < 2e-4
    assert_array_equal(scorer.transform(np.repeat(X, 3, axis=0)), np.repeat(out, 3, axis=0))
    assert capfd.readouterr() == ("", "")


def test_mnist():
    def enlarged(digit):
        image = Image.fromarray((digit.reshape(8, 8) * 255 / 16).astype(np.uint8))
        return np.pad(np.asarray(image.resize((20, 20), Image.Resampling.BICUBIC)), 4)

    digits = load_digits()
    X = np.stack([enlarged(row) for row in digits.data[:100]]).reshape(100, 784)
    scorer = OnnxScorer(SHARED / "mnist_cntk" / "mnist.onnx")
    right = scorer.transform(X).argmax(axis=1) == digits.target[:100]
    assert right.mean() > 0.9


def test_iris():
    iris = load_iris()
    out = OnnxScorer(SHARED / "iris_mlp" / "Network.onnx").transform(iris.data)
    assert (out.argmax(axis=1) == iris.target).mean() > 0.95


def test_cifar():
    images = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    path = SHARED / "cifar10_cnn" / "ImageClassifier.onnx"
    pipe = make_pipeline(
        ImageLoader(),
        ImageResizer(32, 32),
        PixelExtractor(offset=127.5, scale=1 / 127.5),
        OnnxScorer(path),
    )
    X = (images.transpose(0, 3, 1, 2) / 255 - 0.5) / 0.5
    expected = OnnxScorer(path, batch_size=9).transform(X)
    assert expected.shape == (9, 10)
    assert_allclose(pipe.transform(list(images)), expected, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    ["squeezenet_fp16/SqueezeNet_fp16", "mnist_cntk/mnist", "ultraface/version-RFB-320"],
)
def test_old_exports_are_quiet_unless_asked(name, capfd):
    path = SHARED / f"{name}.onnx"
    shape = OnnxScorer(path).inputs_[0].row_shape
    OnnxScorer(path, output_shape="native").fit_transform(np.zeros((2, *shape), np.float32))
    assert capfd.readouterr() == ("", "")


def test_warnings_when_asked(capfd):
    path = SHARED / "ultraface" / "version-RFB-320.onnx"
    OnnxScorer(path, output_shape="native", verbose=2).fit(np.zeros((1, 3, 240, 320)))
    assert "appears in graph inputs" in capfd.readouterr().err
