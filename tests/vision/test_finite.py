"""NaN and infinity from a network: an error with its row, or a masked row that is counted."""

import functools

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from sklearn_dl import DetectionScorer, ImageClassifier
from sklearn_dl.utils._messages import NotFiniteError
from tests.vision.backbones import SIZE, tiny_folder, tiny_module
from tests.vision.detection.detectors import constant_detector, model

BAD = [3, 10]


@pytest.fixture
def marked(data):
    """The images of `data`, of which two have a white corner, their labels and the others."""
    images = [image.copy() for image in data[0]]
    for image in images:
        image[0, 0] = 0
    for row in BAD:
        images[row][0, 0] = 255
    return images, data[1], [row for row in range(24) if row not in BAD]


def corner_graph(value):
    """Means of channels as features; `value` where the first pixel is white."""
    constants = {
        "value": np.float32(value),
        "limit": np.float32(2),
        "zero": np.int64(0),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gather", ["image", "zero"], ["rows"], axis=2),
        helper.make_node("Gather", ["rows", "zero"], ["corner"], axis=2),
        helper.make_node("Greater", ["corner", "limit"], ["white"]),
        helper.make_node("Where", ["white", "value", "means"], ["features"]),
    ]
    return model(
        nodes,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )


class Corner(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.body, self.value = tiny_module(), value

    def forward(self, pixels):
        features = self.body(pixels).mean((2, 3))
        return torch.where(pixels[:, :1, 0, 0] > 2, self.value, features)


@pytest.fixture(params=["onnx", "module"])
def backbone(request, tmp_path):
    def make(value):
        if request.param == "module":
            return functools.partial(Corner, value)
        (tmp_path / "corner.onnx").write_bytes(corner_graph(value))
        return tmp_path / "corner.onnx"

    return make


METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function", "transform"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_raises_with_the_row(backbone, params, marked, value):
    images, y, good = marked
    clf = ImageClassifier(backbone(value), **params)
    seen = "NaN" if np.isnan(value) else "infinity"
    message = f"Row 3: the network gave features with {seen} for <array 16 x 16 x 3>"
    with pytest.raises(NotFiniteError, match=message) as caught:
        clf.fit(images, y)
    assert (caught.value.row, caught.value.source) == (3, "<array 16 x 16 x 3>")
    assert not hasattr(clf, "classes_")
    clf.fit([images[i] for i in good], y[good])
    for method in METHODS:
        with pytest.raises(ValueError, match=message):
            getattr(clf, method)(images)
    assert clf.predict([images[i] for i in good]).shape == (22,)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("cached", [False, True])
def test_a_masked_row_is_counted_once(backbone, params, marked, tmp_path, value, cached):
    images, y, good = marked
    clf = ImageClassifier(backbone(value), on_error="nan", **params)
    clf.set_params(memory=tmp_path / "memory" if cached else None)
    count = r"^2 of 24 images could not be read or scored"
    with pytest.warns(UserWarning, match=count + r" and were left out.* Row 3:") as caught:
        clf.fit(images, y)
    assert len(caught) == 1
    expected = ImageClassifier(clf.model, **params).fit([images[i] for i in good], y[good])
    for method in METHODS:
        with pytest.warns(UserWarning, match=count + "; .* Row 3: the network gave") as caught:
            found = getattr(clf, method)(images)
        assert len(caught) == 1
        wanted = getattr(expected, method)([images[i] for i in good])
        if method == "predict":
            assert found[BAD].tolist() == [None, None]
            assert found[good].tolist() == wanted.tolist()
        else:
            assert np.isnan(found[BAD]).all()
            np.testing.assert_allclose(found[good], wanted, atol=1e-6)
    with pytest.warns(UserWarning, match="1 of 1 images could not be read or scored"):
        assert clf.set_params(missing="?").predict(images[3:4]).tolist() == ["?"]


def test_one_warning_for_both_reasons(params, marked, tmp_path):
    images, y, good = marked
    (tmp_path / "corner.onnx").write_bytes(corner_graph(np.nan))
    clf = ImageClassifier(tmp_path / "corner.onnx", on_error="nan", **params)
    clf.fit([images[i] for i in good], y[good])
    with pytest.warns(UserWarning, match=r"3 of 24 images .* Row 0: cannot read") as caught:
        clf.predict([b"not an image", *images[1:]])
    assert len(caught) == 1


def test_no_row_is_left(params, data, tmp_path):
    (tmp_path / "corner.onnx").write_bytes(corner_graph(np.nan))
    white = [np.full((SIZE, SIZE, 3), 255, np.uint8)] * 4
    clf = ImageClassifier(tmp_path / "corner.onnx", on_error="nan", **params)
    with pytest.raises(ValueError, match=r"No image can be used\. Row 0: the network gave"):
        clf.fit(white, list("abab"))
    clf.fit(*data)
    with pytest.warns(UserWarning, match="4 of 4 images"):
        assert np.isnan(clf.predict_proba(white)).all()


def test_a_whole_network_of_nan(params, data, tmp_path):
    folder = tiny_folder(tmp_path / "model")
    clf = ImageClassifier(folder, trainable_layers="all", **params).fit(*data)
    with torch.no_grad():
        clf._predictor.network.live.head.bias.fill_(np.nan)
    with pytest.raises(ValueError, match="Row 0: the network gave outputs with NaN"):
        clf.predict(data[0])
    assert np.isfinite(clf.transform(data[0])).all()
    clf.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="24 of 24 images could not be read or scored"):
        assert np.isnan(clf.predict_proba(data[0])).all()


def test_rows_held_out(params, marked):
    images, y, good = marked
    clf = ImageClassifier(
        functools.partial(Corner, np.nan), trainable_layers="all", early_stopping=True, **params
    )
    rest = {"X_val": images, "y_val": y}
    with pytest.raises(ValueError, match="Row 3: the network gave features"):
        clf.fit([images[i] for i in good], y[good], **rest)
    clf.set_params(on_error="nan")
    with pytest.warns(UserWarning, match=r"2 of 24 images of X_val could not be read or scored"):
        clf.fit([images[i] for i in good], y[good], **rest)
    assert np.isfinite(clf.history_["validation_loss"]).all()


def test_a_class_without_weight_keeps_minus_infinity(onnx_file, params, data):
    weights = (data[1] != "g").astype(float)
    clf = ImageClassifier(onnx_file, **params).fit(*data, sample_weight=weights)
    assert (clf.decision_function(data[0])[:, 1] == -np.inf).all()
    np.testing.assert_array_equal(clf.predict_proba(data[0])[:, 1], 0)
    assert set(clf.predict(data[0])) == {"b", "r"}


def test_maps_whose_mean_overflows(params, data, tmp_path):
    constants = [numpy_helper.from_array(np.float32(1e38), "huge")]
    images, maps = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, "H", "W"])
        for name in ("image", "features")
    )
    node = helper.make_node("Mul", ["image", "huge"], ["features"])
    (tmp_path / "maps.onnx").write_bytes(model([node], [images], [maps], constants))
    white = [np.full((SIZE, SIZE, 3), 255, np.uint8)] * 4
    with pytest.raises(NotFiniteError, match="Row 0: the network gave features with infinity"):
        ImageClassifier(tmp_path / "maps.onnx", **params).fit(white, list("abab"))


@pytest.mark.parametrize(
    "changed",
    [
        {"bias": np.array([0.0, np.inf, 0.0])},
        {"bias": np.array([0.0, np.nan, 0.0])},
        {"weights": np.array([[np.inf, -np.inf, 0.0]] * 3)},
    ],
    ids=["infinite", "NaN", "weights"],
)
def test_a_damaged_head(onnx_file, params, data, changed):
    clf = ImageClassifier(onnx_file, **params).fit(*data)
    clf._predictor = clf._predictor._replace(head=clf._predictor.head._replace(**changed))
    with pytest.raises(NotFiniteError, match="Row 0: the network gave outputs with"):
        clf.predict(data[0])
    clf.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="24 of 24 images"):
        assert np.isnan(clf.decision_function(data[0])).all()


# --- detectors

IMAGE = np.zeros((64, 64, 3), np.uint8)


def outputs_of(name):
    """Outputs in which one object is found, and where its box and its score are."""
    if name == "yolov2":
        grid = np.full((8, 2, 2), -9.0)
        grid[:, 0, 0] = [0, 0, 0, 0, 9, 9, -9, -9]
        return {"g": grid}, ("g", (2, 0, 0)), ("g", (4, 0, 0))
    if name == "yolov8":
        table = np.zeros((6, 20))
        table[:5, 0] = [32, 32, 20, 20, 0.9]
        return {"t": table}, ("t", (2, 0)), ("t", (4, 0))
    if name == "yolox":
        table = np.zeros((84, 6))
        table[0] = [0.5, 0.5, 1, 1, 1, 0.9]
        return {"t": table}, ("t", (0, 2)), ("t", (0, 4))
    if name == "yolov5":
        table = np.zeros((252, 6))
        table[0] = [32, 32, 20, 20, 1, 0.9]
        return {"t": table}, ("t", (0, 2)), ("t", (0, 4))
    if name == "yolov10":
        table = np.zeros((20, 6))
        table[0] = [10, 10, 30, 30, 0.9, 0]
        return {"t": table}, ("t", (0, 2)), ("t", (0, 4))
    if name in ("ppyoloe", "rt-detr-decoded"):
        boxes, scores = np.tile([10.0, 10, 30, 30], (84, 1)), np.zeros(84)
        scores[0] = 0.9
        if name == "ppyoloe":
            return {"b": boxes, "s": scores[None]}, ("b", (0, 2)), ("s", (0, 0))
        queries = {"labels": np.zeros(84), "boxes": boxes, "scores": scores}
        return queries, ("boxes", (0, 2)), ("scores", 0)
    boxes = np.full((4, 4), 0.5)
    boxes[:, :2] = 0.2
    scores = np.full((4, 3), 0.0 if name == "ssd" else -9.0)
    scores[0, 1] = 0.9 if name == "ssd" else 9.0
    if name == "detr":
        scores[1:, 2] = 9.0
    return {"s": scores, "b": boxes}, ("b", (0, 2)), ("s", (0, 1))


def decode(outputs, geometry):
    return outputs["b"] * 64, outputs["s"][:, 1], np.zeros(4)


def filtered(outputs, geometry):
    kept = outputs["s"][:, 1] > 0.3
    return outputs["b"][kept], outputs["s"][kept, 1], np.zeros(kept.sum())


# a score of -inf, as a logit or from a callable, is that of nothing
NOTHING = [("detr", "score"), ("rt-detr", "score"), ("rt-detr", "everywhere")]
NOTHING += [
    (function, where) for function in (decode, filtered) for where in ("score", "everywhere")
]
FORMATS = ["yolov2", "yolov5", "yolov8", "yolov10", "yolox", "ppyoloe", "ssd", "detr", "rt-detr"]
FORMATS += ["rt-detr-decoded", decode, filtered]


def detector(name, outputs, **options):
    if name == "yolov2":
        options["anchors"] = [[1, 1]]
    return DetectionScorer(constant_detector(outputs), format=name, **options)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("where", ["box", "score", "everywhere"])
@pytest.mark.parametrize("name", FORMATS, ids=lambda name: getattr(name, "__name__", name))
def test_a_detector_raises_or_masks(name, where, value, tmp_path):
    outputs, box, score = outputs_of(name if isinstance(name, str) else "ssd")
    assert len(detector(name, outputs).predict([IMAGE])[0]) == 1
    if where == "everywhere":
        outputs = {key: np.full_like(array, value) for key, array in outputs.items()}
    else:
        key, place = box if where == "box" else score
        outputs[key][place] = value
    found = detector(name, outputs)
    message = r"Row 0: the network gave \w+ with (NaN|infinity) for"
    if value == -np.inf and (name, where) in NOTHING:
        assert len(found.predict([IMAGE])[0]) == (name == "detr")  # of its other class
        return
    with pytest.raises(NotFiniteError, match=message) as caught:
        found.predict([IMAGE])
    assert (caught.value.row, caught.value.source) == (0, "<array 64 x 64 x 3>")
    Image.fromarray(IMAGE).save(tmp_path / "black.png")
    found.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="3 of 3 images could not be read or scored") as caught:
        result = found.predict([tmp_path / "black.png", b"not an image", IMAGE])
    assert result.tolist() == [None, None, None]
    assert len(caught) == 1


@pytest.mark.parametrize("name", ["detr", "rt-detr"])
def test_a_logit_of_minus_infinity_is_a_probability_of_zero(name):
    outputs, _, _ = outputs_of(name)
    expected = detector(name, outputs).predict([IMAGE])[0]
    outputs["s"][outputs["s"] < 0] = -np.inf
    found = detector(name, outputs).predict([IMAGE])[0]
    assert found["label"].tolist() == expected["label"].tolist() == [1]
    assert found["score"].tolist() == pytest.approx(expected["score"].tolist(), abs=1e-3)


@pytest.mark.parametrize("wrong", [0.5, -1, 2**40, np.nan, "cat"])
def test_classes_of_a_callable_are_indices(wrong):
    outputs, _, _ = outputs_of("ssd")

    def decode(outputs, geometry):
        return outputs["b"], outputs["s"][:, 1], np.full(4, wrong)

    with pytest.raises(ValueError, match=f"reads class indices .*, but one is {wrong}. Correct"):
        detector(decode, outputs).predict([IMAGE])


@pytest.mark.parametrize("shape", [(16,), (2, 2, 4), (4, 5)])
def test_boxes_of_a_callable_have_four_columns(shape):
    outputs, _, _ = outputs_of("ssd")

    def decode(outputs, geometry):
        return np.zeros(shape), outputs["s"][:, 1], np.zeros(4)

    with pytest.raises(ValueError, match=r"returned boxes .* must have the shapes \(n, 4\)"):
        detector(decode, outputs).predict([IMAGE])


def test_a_row_that_a_trained_network_cannot_score_is_named(params, data, marked):
    clf = ImageClassifier(
        functools.partial(Corner, np.nan), trainable_layers="all", warm_start=True, **params
    )
    clf.model.version = "1"
    clf.fit(*data)
    images, y, _ = marked
    with pytest.raises(NotFiniteError, match="Row 3: the network gave features with NaN"):
        clf.fit(images, y)
