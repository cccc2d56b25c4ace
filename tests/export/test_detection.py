"""Exported DetectionScorers against `predict`."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image
from sklearn.pipeline import make_pipeline

from sklearn_dl import DetectionScorer, ImageLoader, ImageResizer
from sklearn_dl.export import to_onnx
from tests.vision.detection.detectors import (
    ANCHORS,
    color_detector,
    constant_detector,
    model,
    squares,
)
from tests.vision.detection.test_formats import TABLES
from tests.vision.detection.test_inputs import rt_detr

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SKLEARN_DL_SHARED", ROOT.parent / "shared")) / "data"
IMAGE = np.zeros((64, 64, 3), np.uint8)


class File:
    """An exported detector."""

    def __init__(self, detector, X=(IMAGE,), **options):
        made = to_onnx(detector, list(X), **options)
        onnx.checker.check_model(made, full_check=True)
        self.session = onnxruntime.InferenceSession(made.SerializeToString())

    def predict(self, image):
        """Boxes, scores and labels of one image."""
        (name,) = (value.name for value in self.session.get_inputs())
        return self.session.run(["boxes", "scores", "labels"], {name: image[None]})


def edges(found):
    return np.stack([found[name] for name in ("x0", "y0", "x1", "y1")], axis=1)


def assert_equal(made, found, atol=1e-5, boxes_atol=1e-4):
    """The file has found the same objects as `predict`, in the same order."""
    boxes, scores, labels = made
    assert labels.tolist() == found["label"].tolist()
    assert boxes.dtype == scores.dtype == np.float32
    np.testing.assert_allclose(boxes, edges(found), rtol=1e-6, atol=boxes_atol)
    np.testing.assert_allclose(scores, found["score"], rtol=0, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("open_", [False, True])
@pytest.mark.parametrize("name", TABLES)
def test_formats(name, open_, dtype):
    outputs, _, n_classes, options = TABLES[name]
    graph = constant_detector(outputs, dtype=dtype, open_=tuple(outputs) if open_ else ())
    detector = DetectionScorer(graph, format=name, resize_mode="fill", **options)
    found = detector.predict([IMAGE])[0]
    assert len(found) > 5
    assert_equal(File(detector).predict(IMAGE), found)
    detector.set_params(
        score_threshold=0.6,
        max_detections=4,
        iou_threshold=0.1,
        classes=[f"class {i}" for i in range(n_classes)],
    )
    found = detector.predict([IMAGE])[0]
    assert 0 < len(found) <= 4
    made = File(detector).predict(IMAGE)
    assert made[2].dtype == object
    assert_equal(made, found)


def with_ties(name, rng):
    """Outputs of a format in which many scores and many boxes are equal."""
    n = 43
    levels = rng.integers(0, 5, (n, 4)) / 4
    boxes = np.hstack([rng.integers(2, 6, (n, 2)), rng.integers(1, 4, (n, 2))]) / 8
    if name == "yolov2":
        kinds = rng.normal([0, 0, 0, 0, 2, 0, 0, 0], 1, (5, 8))
        grid = kinds[rng.integers(0, 5, (2, 5, 5))]
        return {"grid": grid.transpose(0, 3, 1, 2).reshape(16, 5, 5)}
    if name.startswith("yolov8"):
        keypoints = rng.normal(0, 9, (34 if name == "yolov8-pose" else 32, n))
        rows = [np.hstack([64 * boxes, levels]).T, keypoints][: 1 if name == "yolov8" else 2]
        prototypes = {"output1": np.zeros((32, 4, 4))} if name == "yolov8-seg" else {}
        return {"output0": np.vstack(rows)} | prototypes
    if name == "yolov10":
        edges = [64 * boxes[:, :2], 64 * boxes.sum(axis=1, keepdims=True), np.full((n, 1), 64)]
        return {"output0": np.hstack([*edges, levels[:, :1], rng.integers(0, 4, (n, 1))])}
    if name in ("yolov5", "yolov6", "yolox-decoded"):
        table = np.hstack([64 * boxes, levels[:, :1], levels])
        table[0, 4] = 0
        if name == "yolov6":
            table[:, 4] = 1
        return {"output": table[rng.integers(0, n, 252 if name == "yolov5" else 84)]}
    if name == "yolox":
        centers = rng.integers(0, 3, (84, 2)) / 2
        sides, scores = rng.integers(0, 2, (84, 2)), rng.integers(1, 5, (84, 4)) / 4
        return {"output": np.hstack([centers, sides, scores])}
    if name == "ssd":
        low = boxes[:, :2]
        return {"boxes": np.hstack([low, low + boxes[:, 2:]]), "scores": levels}
    edges = np.hstack([64 * boxes[:, :2], 64 * boxes[:, :2] + 64 * boxes[:, 2:]])
    if name == "ppyoloe":
        rows = rng.integers(0, n, 84)
        return {"b": edges[rows], "s": levels[rows].T}
    if name == "picodet":
        kinds, sides = rng.normal(0, 2, (5, 32)), (8, 4, 2, 1)
        scores = {f"s{i}": levels[rng.integers(0, n, side**2)] for i, side in enumerate(sides)}
        return scores | {
            f"d{i}": kinds[rng.integers(0, 5, side**2)] for i, side in enumerate(sides)
        }
    if name == "rt-detr-decoded":
        return {"scores": levels[:, 0], "boxes": edges, "labels": rng.integers(0, 4, n)}
    kinds = rng.normal(0, 2, (5, 7))
    kinds[:, 2:4] = -np.inf
    return {"logits": kinds[rng.integers(0, 5, n)], "pred_boxes": boxes}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "class_agnostic"),
    [
        (0, False),
        (1, True),
        *(
            pytest.param(seed, agnostic, marks=pytest.mark.slow)
            for seed in range(5)
            for agnostic in (False, True)
            if (seed, agnostic) not in ((0, False), (1, True))
        ),
    ],
)
@pytest.mark.parametrize("name", TABLES)
def test_ties(name, seed, class_agnostic):
    graph = constant_detector(with_ties(name, np.random.default_rng(seed)))
    options = {"anchors": ANCHORS} if name == "yolov2" else {}
    if name in ("yolov8-pose", "yolov10", "rt-detr-decoded"):
        options["classes"] = list("abcd")
    detector = DetectionScorer(
        graph, format=name, score_threshold=0.25, class_agnostic=class_agnostic, **options
    )
    found = detector.predict([IMAGE])[0]
    assert len(set(found["score"])) < len(found)
    assert_equal(File(detector).predict(IMAGE), found)


def test_class_agnostic_suppression():
    scores, boxes = [[0.1, 0.8, 0.2], [0.1, 0.2, 0.9]], [[0, 0, 0.5, 0.5]] * 2
    graph = constant_detector({"scores": scores, "boxes": boxes})
    for class_agnostic, labels in [(False, [1, 0]), (True, [1])]:
        detector = DetectionScorer(graph, format="ssd", class_agnostic=class_agnostic)
        assert File(detector).predict(IMAGE)[2].tolist() == labels


@pytest.mark.slow
def test_thresholds_are_reached():
    """A float32 score equals a threshold that float32 rounds; 1 is reached, 0 too."""
    scores = np.array([[0, 0.3], [0, 0.1], [1, 0], [0, 1]])
    boxes = np.array([[0.1, 0, 0.2, 1], [0.3, 0, 0.4, 1], [0.5, 0, 0.6, 1], [0.7, 0, 0.8, 1]])
    for dtype in (np.float32, np.float16):
        graph = constant_detector({"scores": scores, "boxes": boxes}, dtype=dtype)
        for threshold, n_found in [(0.0, 4), (0.1, 3), (0.3, 2), (np.float64(0.3), None), (1.0, 1)]:
            detector = DetectionScorer(graph, format="ssd", score_threshold=threshold)
            found = detector.predict([IMAGE])[0]
            assert n_found in (None, len(found))
            assert_equal(File(detector).predict(IMAGE), found)


@pytest.mark.parametrize("opset", [19, 21, 23])
def test_newer_operators(opset):
    outputs, *_ = TABLES["yolox"]
    detector = DetectionScorer(constant_detector(outputs), format="yolox")
    file = File(detector, target_opset=opset)
    assert_equal(file.predict(IMAGE), detector.predict([IMAGE])[0])


def test_two_exports_have_the_same_bytes():
    detector = DetectionScorer(color_detector(), format="yolov2", anchors=ANCHORS)
    first, second = (to_onnx(detector, [squares()]).SerializeToString() for _ in range(2))
    assert first == second


def test_nothing_is_found():
    detector = DetectionScorer(color_detector(), format="yolov2", anchors=ANCHORS)
    boxes, scores, labels = File(detector).predict(squares())
    assert (boxes.shape, scores.shape, labels.shape) == ((0, 4), (0,), (0,))


def test_boxes_are_clipped_and_empty_ones_dropped():
    rows = np.array([[-0.5, -0.5, 0.5, 0.5], [0.5, 0.5, 1.5, 1.5], [1.2, 0.0, 1.5, 0.5]])
    scores = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    detector = DetectionScorer(constant_detector({"scores": scores, "boxes": rows}), format="ssd")
    boxes, _, _ = File(detector).predict(np.zeros((50, 100, 3), np.uint8))
    assert boxes.tolist() == [[0, 0, 50, 25], [50, 25, 100, 50]]


def test_a_box_in_the_border_suppresses_no_other_box():
    # a wide image in a square input: the upper quarter is border
    table = np.zeros((5, 40))
    table[:, :2] = np.array([[32, 6, 10, 10, 0.9], [32, 32, 10, 10, 0.8]]).T
    detector = DetectionScorer(
        constant_detector({"output0": table}), format="yolov8", max_detections=1
    )
    image = np.zeros((32, 64, 3), np.uint8)
    found = detector.predict([image])[0]
    assert found["score"].tolist() == pytest.approx([0.8])
    assert_equal(File(detector).predict(image), found)


def with_scale(name="scale", shape=(2,), kind=TensorProto.INT64, batch="N"):
    """DETR whose boxes are an input, in 64ths, beside the image."""
    value = helper.make_tensor_value_info
    return model(
        [
            helper.make_node("Cast", [name], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["floats", "floats"], ["twice"], axis=1),
            helper.make_node("Mul", ["twice", "share"], ["flat"]),
            helper.make_node("Unsqueeze", ["flat", "one"], ["boxes"]),
            helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("Unsqueeze", ["mean", "one"], ["scores"]),
        ],
        [
            value("images", TensorProto.FLOAT, [batch, 3, 64, 64]),
            value(name, kind, [batch, *shape]),
        ],
        [
            value("boxes", TensorProto.FLOAT, [batch, 1, 4]),
            value("scores", TensorProto.FLOAT, [batch, 1, 3]),
        ],
        [
            onnx.numpy_helper.from_array(np.full((1, 4), 1 / 128, np.float32), "share"),
            onnx.numpy_helper.from_array(np.array([1]), "one"),
        ],
    )


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("given", [(32, 48), np.array([32.0, 48.0])], ids=["tuple", "array"])
def test_a_second_input(batch, given):
    detector = DetectionScorer(
        with_scale(batch=batch), format="rt-detr", scale=0.02, extra_inputs={"scale": given}
    )
    image = np.full((64, 64, 3), [255, 0, 0], np.uint8)
    found = detector.predict([image])[0]
    assert edges(found).tolist() == [[8, 12, 24, 36]]
    file = File(detector)
    assert [value.name for value in file.session.get_inputs()] == ["image"]
    assert_equal(file.predict(image), found)


def test_inputs_that_are_filled_by_name():
    """The sizes and the scale are the same for all images, and so is the mask of a whole image."""
    image = np.full((50, 200, 3), [51, 255, 204], np.uint8)
    detector = DetectionScorer(rt_detr(), classes=["a", "b", "c"])
    found = detector.predict([image])[0]
    assert len(found) == 2
    assert_equal(File(detector, [image]).predict(image), found)
    options = {"format": "rt-detr", "scale": 0.02}
    image = np.full((64, 64, 3), [255, 0, 0], np.uint8)
    for name, shape, kind in [
        ("im_shape", (2,), TensorProto.FLOAT),
        ("pixel_mask", (64, 64), TensorProto.INT64),
    ]:
        graph = with_scale(name, shape, kind) if shape == (2,) else with_mask()
        detector = DetectionScorer(graph, **options)
        found = detector.predict([image])[0]
        assert edges(found).tolist() == [[16, 16, 48, 48]]
        assert_equal(File(detector).predict(image), found)
    detector.set_params(resize_mode="pad")
    with pytest.raises(ValueError, match=r"its input 'pixel_mask' depends on .*\n?.*resize_mode="):
        to_onnx(detector, [image])


def with_mask():
    """DETR whose boxes are half of the mask's pixels."""
    value = helper.make_tensor_value_info
    return model(
        [
            helper.make_node("ReduceMin", ["pixel_mask"], ["least"], axes=[1, 2], keepdims=0),
            helper.make_node("Cast", ["least"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["floats", "axes"], ["row"]),
            helper.make_node("Mul", ["row", "half"], ["boxes"]),
            helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("Unsqueeze", ["mean", "one"], ["scores"]),
        ],
        [
            value("images", TensorProto.FLOAT, ["N", 3, 64, 64]),
            value("pixel_mask", TensorProto.INT64, ["N", 64, 64]),
        ],
        [
            value("boxes", TensorProto.FLOAT, ["N", 1, 4]),
            value("scores", TensorProto.FLOAT, ["N", 1, 3]),
        ],
        [
            onnx.numpy_helper.from_array(np.full((1, 1, 4), 0.5, np.float32), "half"),
            onnx.numpy_helper.from_array(np.array([1, 2]), "axes"),
            onnx.numpy_helper.from_array(np.array([1]), "one"),
        ],
    )


@pytest.mark.parametrize(
    ("dtype", "layout", "options"),
    [
        (np.float32, "NHWC", {"colors": "BGR", "offset": [0, 10, 20], "scale": 0.1}),
        (np.float16, "NCHW", {"colors": "BGR", "offset": 5, "scale": [0.5, 0.25, 0.125]}),
        (np.uint8, "NHWC", {"offset": 0, "scale": 1}),
    ],
)
def test_pixels_of_the_input(dtype, layout, options):
    """The levels of three colors are the scores of three classes."""
    detector = DetectionScorer(
        levels(dtype, layout), format="rt-detr", score_threshold=0, **options
    )
    image = np.full((16, 16, 3), [130, 30, 60], np.uint8)
    found = detector.predict([image])[0]
    assert len(found) == 1
    assert_equal(File(detector).predict(image), found, atol=1e-6)


def levels(dtype, layout):
    """RT-DETR whose logits are the mean levels of the channels, divided by 8."""
    value, kind = helper.make_tensor_value_info, helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    shape = [1, 3, 16, 16] if layout == "NCHW" else [1, 16, 16, 3]
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    return model(
        [
            helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["mean"], axes=axes, keepdims=0),
            helper.make_node("Unsqueeze", ["mean", "one"], ["rows"]),
            helper.make_node("Div", ["rows", "eight"], ["logits"]),
            helper.make_node("Identity", ["whole"], ["pred_boxes"]),
        ],
        [value("image", kind, shape)],
        [
            value("logits", TensorProto.FLOAT, [1, 1, 3]),
            value("pred_boxes", TensorProto.FLOAT, [1, 1, 4]),
        ],
        [
            onnx.numpy_helper.from_array(np.array([1]), "one"),
            onnx.numpy_helper.from_array(np.float32(8), "eight"),
            onnx.numpy_helper.from_array(np.array([[[0.5, 0.5, 1, 1]]], np.float32), "whole"),
        ],
    )


def decode(outputs, geometry):
    return [], [], []


def test_what_cannot_be_in_a_file_is_refused():
    tables = {"scores": [[0.1, 0.9]], "boxes": [[0, 0, 1, 1]]}
    graph = constant_detector(tables)

    def refused(match, X=(IMAGE,), model=graph, **options):
        detector = DetectionScorer(model, **({"format": "ssd"} | options))
        with pytest.raises(ValueError, match=f"DetectionScorer cannot be exported: {match}"):
            to_onnx(detector, X)

    refused("its `format` is a callable", format=decode)
    refused('on_error="nan" is not possible', on_error="nan")
    refused("it reads images in tiles", tile=32)
    refused(
        r"extra_inputs\['scale'\] is a callable",
        model=with_scale(),
        format="rt-detr",
        extra_inputs={"scale": lambda geometry: geometry.image_size},
    )
    refused("its network takes 3 images at a time", model=constant_detector(tables, batch=3))
    refused("it takes one column of images", X=["cat.jpg"])
    refused("it takes one column of images", X=np.zeros((2, 3)))


@pytest.mark.slow
def test_labels():
    graph = constant_detector({"scores": [[0.1, 0.2, 0.9]], "boxes": [[0, 0, 1, 1]]})
    for classes, dtype in [
        (["cat", "Hund \N{DOG FACE}"], object),
        ([7, 3], np.int64),
        ([False, True], bool),
        ({"0": "a", "1": "b"}, object),
        (np.array(["a", "b"], dtype=object), object),
    ]:
        detector = DetectionScorer(graph, format="ssd", classes=classes)
        _, _, labels = File(detector).predict(IMAGE)
        assert labels.dtype == dtype
        assert labels.tolist() == detector.predict([IMAGE])[0]["label"].tolist()


def scene(size, seed=0):
    """Coloured squares on noise."""
    image = squares((0, 1, 2), (1, 4, 5), (2, 7, 7), (0, 8, 1), size=(320, 320))
    image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.NEAREST))
    return np.maximum(image, np.random.default_rng(seed).integers(0, 10, image.shape, np.uint8))


@pytest.mark.parametrize("mode", ["fill", "pad", "pad_end", "crop"])
def test_images_of_any_size(mode):
    options = {"anchors": ANCHORS, "resize_mode": mode, "score_threshold": 0.1}
    detector = DetectionScorer(color_detector(), format="yolov2", **options)
    file, n_found = File(detector, [squares()]), 0
    for size in [(320, 320), (641, 480), (200, 433), (97, 51)]:
        image = scene(size)
        found = detector.predict([image])[0]
        n_found += len(found)
        assert_equal(file.predict(image), found, atol=6e-3, boxes_atol=0.16)
    assert n_found >= 8


def test_a_fast_resize_finds_the_same_objects():
    options = {"anchors": ANCHORS, "score_threshold": 0.5}
    detector = DetectionScorer(color_detector(), format="yolov2", **options)
    image = scene((641, 480))
    found = detector.predict([image])[0]
    assert len(found) == 4
    boxes, _, labels = File(detector, [image], resize="fast").predict(image)
    assert sorted(labels) == sorted(found["label"])
    assert np.abs(np.sort(boxes, axis=0) - np.sort(edges(found), axis=0)).max() < 1


def test_a_pipeline_before_it():
    """Boxes are in pixels of the image that the detector gets."""
    pipeline = make_pipeline(
        ImageLoader(),
        ImageResizer(200, 100, resize_mode="fill"),
        DetectionScorer(color_detector(), format="yolov2", anchors=ANCHORS),
    )
    image = scene((320, 320))
    found = pipeline.predict([image])[0]
    assert found["x1"].max() > 100
    assert_equal(File(pipeline, [image]).predict(image), found, atol=6e-3, boxes_atol=0.16)


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 4)])
def test_images_of_other_modes(shape):
    detector = DetectionScorer(levels(np.float32, "NCHW"), format="rt-detr", scale=0.2)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = detector.predict([image])[0]
    fed = image if image.ndim == 3 else image[:, :, None]
    assert_equal(File(detector, [image]).predict(fed), found)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("yolox_nano/yolox_nano.onnx", {"format": "yolox", "score_threshold": 0.25}),
        ("ultraface/version-RFB-320.onnx", {"format": "ssd", "score_threshold": 0.6}),
    ],
    ids=["yolox", "ultraface"],
)
def test_real_detectors(path, options):
    detector = DetectionScorer(DATA / "onnx" / path, **options)
    file, n_found = File(detector), 0
    for image in sorted((DATA / "images/detection").glob("*.jpg")):
        pixels = np.asarray(Image.open(image).convert("RGB"))
        found = detector.predict([pixels])[0]
        n_found += len(found)
        assert_equal(file.predict(pixels), found, atol=6e-3, boxes_atol=0.16)
    assert n_found >= 4
