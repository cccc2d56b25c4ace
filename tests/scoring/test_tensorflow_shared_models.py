"""Real TensorFlow models, where they are at hand."""

import json

import numpy as np
import pytest

from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor, TensorFlowScorer
from tests.scoring.tensorflow_models import SHARED, needs_shared

pytestmark = needs_shared
TF = SHARED / "tf"


@pytest.fixture(scope="module")
def expected():
    return json.loads((SHARED / "expected.json").read_text())


def test_chairs(expected):
    pixels = ["green_chair.jpg"]
    for step in (
        ImageLoader(root=TF / "custom_vision_chairs"),
        ImageResizer(227, 227),
        PixelExtractor(layout="NHWC", colors="BGR", offset=117),
    ):
        pixels = step.transform(pixels)
    scorer = TensorFlowScorer(TF / "custom_vision_chairs" / "model.pb", outputs="loss")
    scores = scorer.transform(pixels)
    wanted = expected["custom_vision_chairs"]["green_chair.jpg"]
    np.testing.assert_allclose(scores[0], wanted, atol=1e-4)


def test_guesslang(expected):
    cases = expected["guesslang"]
    scorer = TensorFlowScorer(TF / "guesslang" / "model", output_shape="native")
    found = scorer.transform([case["text"] for case in cases])
    best = found["scores"].argmax(1)
    rows = np.arange(len(cases))
    assert found["classes"][rows, best].tolist() == [case["top"] for case in cases]
    np.testing.assert_allclose(
        found["scores"][rows, best], [case["p"] for case in cases], atol=1e-4
    )


@pytest.mark.parametrize("name", ["MNIST.Test.tiny.txt", "Train-Tiny-28x28.txt"])
def test_mnist(expected, name):
    lines = (SHARED / "images" / "mnist_tiny" / name).read_text().splitlines()
    images, labels = np.zeros((len(lines), 784), np.float32), []
    for row, line in enumerate(lines):
        label, _, *cells = line.split()
        labels.append(int(label))
        for cell in cells:
            position, value = cell.split(":")
            images[row, int(position)] = float(value) / 255
    scores = TensorFlowScorer(TF / "mnist_conv_model").transform(images)
    accuracy = (scores.argmax(1) == labels).mean()
    assert accuracy == pytest.approx(expected["mnist"][name]["tf_mnist_conv_acc(x/255)"])


def test_cifar_as_saved_model_and_frozen_graph():
    x = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype(np.float32)
    for path in (TF / "cifar_saved_model", TF / "cifar_frozen" / "frozen_model.pb"):
        scorer = TensorFlowScorer(path)
        assert scorer.transform(x).shape == (3, 10)
        assert [spec.name for spec in scorer.outputs_] == ["Output"]


@pytest.mark.parametrize("name", ["model_matmul", "model_matmul/frozen_saved_model.pb"])
def test_matmul(name):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 2, 2)).astype(np.float32)
    X = np.hstack([a.reshape(5, 4), b.reshape(5, 4)])
    scorer = TensorFlowScorer(TF / name, inputs={"a": slice(0, 4), "b": slice(4, 8)})
    np.testing.assert_allclose(scorer.transform(X), (a @ b).reshape(5, 4), rtol=1e-5)


def test_strings():
    scorer = TensorFlowScorer(
        TF / "model_string_test",
        inputs={"A": [0, 1], "B": 2},
        outputs="Original_A",
    )
    X = np.array([["this is fun", "this is not", "x"]], dtype=object)
    assert scorer.transform(X).tolist() == [["this is fun", "this is not"]]
