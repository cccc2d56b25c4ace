"""Detectors with inputs besides the image, and the forms that their classes come in."""

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from sklearn_dl import DetectionScorer
from tests.vision.detection.detectors import constant_detector, model

IMAGE = np.zeros((64, 64, 3), np.uint8)


def with_sizes(batch="N", second="orig_target_sizes", shape=(2,), kind=TensorProto.INT64):
    """RT-DETR as its authors export it: the box is the lower right quarter of the given size."""
    value = helper.make_tensor_value_info
    half = np.array([[0.5, 0.5, 1, 1]], np.float32)
    score = np.array([[0.9]], np.float32)
    return model(
        [
            helper.make_node("Cast", [second], ["sizes"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["sizes", "sizes"], ["twice"], axis=1),
            helper.make_node("Mul", ["twice", "half"], ["flat"]),
            helper.make_node("Unsqueeze", ["flat", "one"], ["boxes"]),
            helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
            helper.make_node("Mul", ["column", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "score"], ["scores"]),
        ],
        [
            value("images", TensorProto.FLOAT, [batch, 3, 64, 64]),
            value(second, kind, [batch, *shape]),
        ],
        [
            value("boxes", TensorProto.FLOAT, [batch, 1, 4]),
            value("scores", TensorProto.FLOAT, [batch, 1]),
        ],
        [
            numpy_helper.from_array(half, "half"),
            numpy_helper.from_array(score, "score"),
            numpy_helper.from_array(np.array([1]), "one"),
            numpy_helper.from_array(np.float32(0), "zero"),
        ],
    )


def decode(outputs, geometry):
    return outputs["boxes"], outputs["scores"], [0]


def input_size(geometry):
    return geometry.input_size


def image_size(geometry):
    return geometry.image_size


def edges(found):
    return [found[0][name].item() for name in ("x0", "y0", "x1", "y1")]


def rt_detr(batch="N"):
    """RT-DETR and D-FINE as their authors export them, with the object's box in 64ths."""
    value = helper.make_tensor_value_info
    return model(
        [
            helper.make_node("Cast", ["orig_target_sizes"], ["sizes"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["sizes", "sizes"], ["twice"], axis=1),
            helper.make_node("Unsqueeze", ["twice", "one"], ["rows"]),
            helper.make_node("Mul", ["rows", "fractions"], ["boxes"]),
            helper.make_node("ReduceMean", ["images"], ["level"], axes=[2, 3], keepdims=0),
            helper.make_node("Identity", ["level"], ["scores"]),
            helper.make_node("Cast", ["level"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Mul", ["whole", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "numbers"], ["labels"]),
        ],
        [
            value("images", TensorProto.FLOAT, [batch, 3, 32, 64]),
            value("orig_target_sizes", TensorProto.INT64, [batch, 2]),
        ],
        [
            value("labels", TensorProto.INT64, [batch, 3]),
            value("boxes", TensorProto.FLOAT, [batch, 3, 4]),
            value("scores", TensorProto.FLOAT, [batch, 3]),
        ],
        [
            numpy_helper.from_array(np.float32([[[0.25, 0, 0.75, 1]] * 3]), "fractions"),
            numpy_helper.from_array(np.array([1]), "one"),
            numpy_helper.from_array(np.array([[2, 0, 1]]), "numbers"),
            numpy_helper.from_array(np.array(0), "zero"),
        ],
    )


@pytest.mark.parametrize("batch", ["N", 1, 3])
def test_rt_detr_of_its_authors(batch):
    """Three colours of the image are the scores of three queries: all have the same box."""
    images = [np.full((50, 200, 3), [51, 255, 204], np.uint8)] * 4
    images[2] = np.full((40, 30, 3), [255, 0, 0], np.uint8)
    detector = DetectionScorer(rt_detr(batch), classes=["a", "b", "c"])
    assert detector.format_ == "rt-detr-decoded"
    first, _, third, _ = detector.predict(images)
    assert first["label"].tolist() == ["a", "b"]
    assert first["score"].tolist() == pytest.approx([1, 0.8], abs=1e-5)
    assert edges(first) == edges(first[1:]) == [50, 0, 150, 50]
    assert third["label"].tolist() == ["c"]
    assert edges(third) == [7.5, 0, 22.5, 40]


@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize(
    "given", [input_size, (64, 64), np.array([64.0, 64.0])], ids=["callable", "tuple", "array"]
)
def test_a_second_input(batch, given):
    detector = DetectionScorer(
        with_sizes(batch), format=decode, extra_inputs={"orig_target_sizes": given}, batch_size=2
    )
    images = [np.zeros((height, width, 3), np.uint8) for width, height in [(64, 64), (100, 50)] * 3]
    for image, found in zip(images, detector.predict(images), strict=True):
        height, width = image.shape[:2]
        assert edges(found) == [width / 2, height / 2, width, height]


def test_a_callable_gets_the_size_of_each_image():
    seen = []

    def record(geometry):
        seen.append(geometry.image_size)
        return [geometry.image_size[0], geometry.input_size[1]]

    detector = DetectionScorer(
        with_sizes(), format=decode, extra_inputs={"orig_target_sizes": record}, n_threads=1
    )
    images = [np.zeros((10, width, 3), np.uint8) for width in (20, 40)]
    first, second = detector.predict(images)
    assert seen == [(20, 10), (40, 10)]
    assert edges(first) == pytest.approx([20 / 64 * 10, 5, 20 / 64 * 20, 10])
    assert edges(second) == pytest.approx([40 / 64 * 20, 5, 40 / 64 * 40, 10])


@pytest.mark.parametrize("bad", [[1], [0, 2], [2]])
def test_unreadable_images(tmp_path, bad):
    rows = []
    for row in range(3):
        path = tmp_path / f"{row}.png"
        Image.fromarray(IMAGE).save(path)
        if row in bad:  # a header that is whole, and pixels that are not
            path.write_bytes(path.read_bytes()[:50])
        rows.append(path)
    detector = DetectionScorer(
        with_sizes(), format=decode, extra_inputs={"orig_target_sizes": input_size}, on_error="nan"
    )
    with pytest.warns(UserWarning, match=f"{len(bad)} of 3 images could not be read"):
        found = detector.predict(rows)
    for row in range(3):
        assert found[row] is None if row in bad else edges(found[row]) == [32, 32, 64, 64]


def test_a_format_with_a_mask():
    """DETR with "pixel_mask"."""
    value = helper.make_tensor_value_info
    logits, boxes = (
        np.array([[[9.0, -9.0]]], np.float32),
        np.array([[[0.5, 0.5, 0.5, 0.5]]], np.float32),
    )
    graph = model(
        [
            helper.make_node("ReduceMin", ["pixel_mask"], ["least"], axes=[1, 2], keepdims=0),
            helper.make_node("Reshape", ["least", "shape"], ["column"]),
            helper.make_node("Cast", ["column"], ["is_seen"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["is_seen", "l"], ["logits"]),
            helper.make_node("Mul", ["is_seen", "b"], ["pred_boxes"]),
        ],
        [
            value("pixel_values", TensorProto.FLOAT, ["N", 3, 32, 64]),
            value("pixel_mask", TensorProto.INT64, ["N", 32, 64]),
        ],
        [
            value("logits", TensorProto.FLOAT, ["N", 1, 2]),
            value("pred_boxes", TensorProto.FLOAT, ["N", 1, 4]),
        ],
        [
            numpy_helper.from_array(logits, "l"),
            numpy_helper.from_array(boxes, "b"),
            numpy_helper.from_array(np.array([-1, 1, 1]), "shape"),
        ],
    )

    def mask(geometry):
        return np.ones(geometry.input_size[::-1], np.int64)

    detector = DetectionScorer(graph, format="detr", extra_inputs={"pixel_mask": mask})
    (found,) = detector.fit([IMAGE]).predict([IMAGE, IMAGE])[:1]
    assert edges(found) == [16, 16, 48, 48]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"images": [1], "orig_target_sizes": [1, 2]}, "no value in `extra_inputs`, but all "),
        (
            {"sizes": [1, 2]},
            r"`extra_inputs` has unknown inputs \['sizes'\]; the inputs of the graph are 'images'",
        ),
        (
            {"orig_target_sizes": [1, 2, 3]},
            r"The graph expects 'orig_target_sizes': .*; extra_inputs\['orig_target_sizes'\] has "
            r"rows of shape \(3,\)",
        ),
        ({"orig_target_sizes": [1.5, 2]}, "Row 0: the value 1.5 cannot be int64"),
        ({"orig_target_sizes": ["a", "b"]}, r"extra_inputs\['orig_target_sizes'\] has dtype <U"),
    ],
    ids=["image", "unknown", "three numbers", "fraction", "strings"],
)
def test_inputs_that_do_not_fit(inputs, message):
    detector = DetectionScorer(with_sizes(), format=decode, extra_inputs=inputs)
    with pytest.raises(ValueError, match=message):
        detector.predict([IMAGE])


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("orig_target_sizes", (2,), [64, 64]),
        ("im_shape", (2,), [64, 64]),
        ("scale_factor", (2,), [1, 1]),
    ],
)
@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.FLOAT])
def test_inputs_that_are_filled_by_name(name, shape, expected, kind):
    """Boxes are mapped once to images of any size."""
    seen = []

    def record(outputs, geometry):
        seen.append(2 * outputs["boxes"][0, :2])
        return [[32, 32, 64, 64]], [0.9], [0]

    detector = DetectionScorer(with_sizes(second=name, shape=shape, kind=kind), format=record)
    images = [np.zeros((height, width, 3), np.uint8) for width, height in [(64, 64), (100, 50)]]
    for image, found in zip(images, detector.predict(images), strict=True):
        height, width = image.shape[:2]
        assert edges(found) == [width / 2, height / 2, width, height]
    assert np.array(seen).tolist() == [expected] * 2
    detector.set_params(extra_inputs={name: [10, 20]}).predict(images[:1])
    assert seen[-1].tolist() == [10, 20]


def test_the_mask_of_a_padded_image():
    """Columns of the input, and whether they show the image."""
    value = helper.make_tensor_value_info
    graph = model(
        [
            helper.make_node("Cast", ["pixel_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMin", ["mask"], ["columns"], axes=[1], keepdims=0),
            helper.make_node("ReduceMin", ["mask"], ["rows"], axes=[2], keepdims=0),
        ],
        [
            value("pixel_values", TensorProto.FLOAT, ["N", 3, 32, 64]),
            value("pixel_mask", TensorProto.INT64, ["N", 32, 64]),
        ],
        [
            value("columns", TensorProto.FLOAT, ["N", 64]),
            value("rows", TensorProto.FLOAT, ["N", 32]),
        ],
        [],
    )
    seen = {}

    def record(outputs, geometry):
        seen.update(outputs)
        return [], [], []

    image = np.zeros((20, 20, 3), np.uint8)
    for mode, (start, end) in {"fill": (0, 64), "pad": (16, 48), "pad_end": (0, 32)}.items():
        DetectionScorer(graph, format=record, resize_mode=mode).predict([image])
        assert seen["rows"].all() == (mode == "fill")
        expected = (np.arange(64) >= start) & (np.arange(64) < end)
        np.testing.assert_array_equal(seen["columns"], expected)


def test_an_input_that_is_not_known():
    detector = DetectionScorer(with_sizes(second="extents"), format=decode)
    message = (
        "Exactly one input .*, the image, must have no value .*, but 'images': .*'extents'.*"
        "extra_inputs=.*Only the inputs .*'orig_target_sizes'"
    )
    with pytest.raises(ValueError, match=message):
        detector.fit([IMAGE])


# --- classes


@pytest.fixture(scope="module")
def graph():
    table = np.zeros((6, 20))
    table[:, 0] = [32, 32, 20, 20, 0.1, 0.9]
    return constant_detector({"output0": table})


@pytest.mark.parametrize(
    "classes",
    [
        {0: "person", 1: "bicycle"},
        {1: "bicycle", 0: "person"},
        {"0": "person", "1": "bicycle"},
        {np.int64(0): "person", np.int64(1): "bicycle"},
        ("person", "bicycle"),
        np.array(["person", "bicycle"]),
        pd.Series(["person", "bicycle"], index=[5, 6]),
        {0: "person", 1: "bicycle"}.values(),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_forms_of_classes(graph, classes):
    detector = DetectionScorer(graph, format="yolov8")
    detector.classes = classes  # a view of a dict cannot be cloned
    assert detector.classes_.tolist() == ["person", "bicycle"]
    assert detector.predict([IMAGE])[0]["label"].tolist() == ["bicycle"]
    assert len(detector.predict_frame([IMAGE])) == 1


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({1: "person", 2: "bicycle"}, "a dict of 2 labels, but class 0 has no label"),
        ({0: "person", "bicycle": 1}, "a dict of 2 labels, but class 1 has no label"),
        ({"person": 0, "bicycle": 1}, "class 0 has no label: the keys must be the class indices"),
        ({0: "person", 1: None}, "but class 1 has none"),
        ({0: "a", 1: "b", 2: "c"}, "`classes` has 3 labels, but .* have 2 classes"),
        (["person", float("nan")], "but class 1 has none"),
        ([["person", "bicycle"]], r"its shape is \(1, 2\)"),
        ([], r"its shape is \(0,\)"),
        ({}, r"its shape is \(0,\)"),
        (["person", 1], r"`classes` has strings and other labels, such as \['person', 1\]"),
        ({"person", "bicycle"}, "`classes` is a set; pass a list"),
        ("person", "`classes` is a str; pass a list|The 'classes' parameter"),
    ],
    ids=[
        *("dict from 1", "dict without 1", "dict of numbers", "dict with None", "three labels"),
        *("list with NaN", "table", "empty list", "empty dict", "mixed", "set", "string"),
    ],
)
def test_classes_that_are_not_labels(graph, classes, message):
    detector = DetectionScorer(graph, format="yolov8", classes=classes)
    for call in (detector.predict, detector.fit):
        with pytest.raises(ValueError, match=message):
            call([IMAGE])
