"""The choice of a format by "auto", and the labels in a file's metadata."""

import numpy as np
import onnx
import pytest

from sklearn_dl import DetectionScorer
from tests.vision.detection.detectors import ANCHORS, color_detector, constant_detector, model

IMAGE = np.zeros((64, 64, 3), np.uint8)
NAMES = {0: "person", 1: "bicycle"}


def with_metadata(graph, **entries):
    """A graph with entries in its metadata, as Ultralytics writes them."""
    made = onnx.load_from_string(graph)
    onnx.helper.set_model_props(made, {name: str(value) for name, value in entries.items()})
    return made.SerializeToString()


def ultralytics(outputs, task="detect", names=NAMES, **options):
    graph = constant_detector(outputs, **options)
    return with_metadata(graph, names=names, stride=32, task=task)


def yolov8(n_classes=2):
    table = np.zeros((4 + n_classes, 84))
    table[:, 0] = [32, 32, 20, 20, *[0.1] * (n_classes - 1), 0.9]
    return table


def chosen(graph, **options):
    detector = DetectionScorer(graph, **options)
    assert DetectionScorer(graph, **options).fit([IMAGE]).format_ == detector.format_
    return detector.format_


def test_one_format_fits():
    assert chosen(constant_detector({"output0": yolov8()})) == "yolov8"
    assert chosen(constant_detector({"output0": yolov8()}), classes=["a", "b"]) == "yolov8"
    scores, boxes = np.full((3, 2), 0.5), np.full((3, 4), 0.1)
    assert chosen(constant_detector({"scores": scores, "boxes": boxes})) == "ssd"
    assert chosen(color_detector(), anchors=ANCHORS) == "yolov2"
    tables = {"logits": np.zeros((9, 3)), "pred_boxes": np.zeros((9, 4))}
    assert chosen(constant_detector(tables), classes=["a", "b"]) == "detr"
    assert chosen(constant_detector(tables), classes=["a", "b", "c"]) == "rt-detr"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        ({"output0": (25200, 85)}, "yolov5"),
        ({"output": (102000, 85)}, "yolov5"),  # four grids
        ({"outputs": (8400, 85)}, "yolov6"),
        ({"output0": (300, 6)}, "yolov10"),
        ({"concat_14.tmp_0": (8400, 4), "sigmoid_9.tmp_0": (80, 8400)}, "ppyoloe"),
        ({"labels": (300,), "boxes": (300, 4), "scores": (300,)}, "rt-detr-decoded"),
        ({"output0": (116, 8400), "output1": (32, 160, 160)}, "yolov8-seg"),
        ({"output1": (32, 160, 160), "output0": (37, 8400)}, "yolov8-seg"),
    ],
)
def test_shapes_of_common_exports(shapes, name):
    graph = constant_detector(
        {output: np.zeros(shape, np.float16) for output, shape in shapes.items()},
        size=(1280, 1280) if shapes.get("output") == (102000, 85) else (640, 640),
    )
    assert DetectionScorer(graph).format_ == name


def test_rows_of_one_number_of_cells():
    """YOLOX's two exports have one shape and one name."""
    detector = DetectionScorer(constant_detector({"output": np.zeros((84, 7))}), classes=["a", "b"])
    with pytest.raises(ValueError, match=r"these formats match: \['yolox', 'yolox-decoded'\]"):
        detector.fit([IMAGE])
    detector.model = constant_detector({"t": np.zeros((84, 7))})
    detector.classes = None
    expected = ["yolov6", "yolox", "yolox-decoded", "ppyoloe"]
    with pytest.raises(ValueError, match=f"these formats match: {expected}".replace("[", r"\[")):
        detector.fit([IMAGE])


def test_the_metadata_tells_formats_of_one_shape():
    table = np.zeros((84, 6))
    table[0] = [10, 10, 30, 30, 0.9, 1]
    with pytest.raises(ValueError, match=r"match: .*'yolov10', 'yolox'"):
        DetectionScorer(constant_detector({"t": table})).fit([IMAGE])
    assert chosen(ultralytics({"t": table})) == "yolov10"
    found = DetectionScorer(ultralytics({"t": table})).predict([IMAGE])[0]
    assert found["label"].tolist() == ["bicycle"]


def test_yolov5_with_open_sizes():
    """YOLOv5 writes names and strides into its files, but no task."""
    value = onnx.helper.make_tensor_value_info
    graph = model(
        [onnx.helper.make_node("Reshape", ["images", "shape"], ["output0"])],
        [value("images", onnx.TensorProto.FLOAT, ["N", 3, "h", "w"])],
        [value("output0", onnx.TensorProto.FLOAT, ["N", "anchors", 7])],
        [onnx.numpy_helper.from_array(np.array([0, -1, 7]), "shape")],
    )
    with pytest.raises(ValueError, match=r"match: .*'yolov5', 'yolov6', 'yolox'"):
        DetectionScorer(graph).fit([IMAGE])
    graph = with_metadata(graph, names=["person", "bicycle"], stride=32)
    assert chosen(graph) == "yolov5"
    assert DetectionScorer(graph).classes_.tolist() == ["person", "bicycle"]


def test_keypoints_need_the_number_of_classes():
    table = np.vstack([yolov8(1), np.full((51, 84), 20)])
    graph = ultralytics({"output0": table}, "pose", {0: "person"})
    assert chosen(graph) == "yolov8-pose"
    assert DetectionScorer(graph).predict([IMAGE])[0]["label"].tolist() == ["person"]
    graph = constant_detector({"output0": table})
    detector = DetectionScorer(graph, format="yolov8-pose")
    with pytest.raises(ValueError, match=r"cannot tell the number of classes .*: set `classes`"):
        detector.fit([IMAGE])
    found = detector.set_params(classes=["person"]).predict([IMAGE])[0]
    assert found["label"].tolist() == ["person"]
    message = r"by their shapes alone, .*\['yolov8', 'yolov8-pose'\]"
    with pytest.raises(ValueError, match=message):
        detector.set_params(format="auto").fit([IMAGE])


def test_masks_are_left_aside():
    table = np.vstack([yolov8(), np.full((32, 84), -5)])
    graph = ultralytics({"output0": table, "output1": np.zeros((32, 16, 16))}, "segment")
    assert chosen(graph) == "yolov8-seg"
    assert DetectionScorer(graph).predict([IMAGE])[0]["label"].tolist() == ["bicycle"]


def test_classes_beyond_the_labels():
    table = np.zeros((30, 6))
    table[0] = [10, 10, 30, 30, 0.9, 2]
    detector = DetectionScorer(constant_detector({"t": table}))
    assert detector.predict([IMAGE])[0]["label"].tolist() == [2]
    with pytest.raises(AttributeError, match="does not state the number of its classes"):
        detector.classes_  # noqa: B018
    detector.set_params(classes=["a", "b"])
    with pytest.raises(ValueError, match="format='yolov10' returned class 2, but `classes` has"):
        detector.predict([IMAGE])


def test_it_finds_what_the_named_format_finds():
    graph = constant_detector({"output0": yolov8()})
    found = DetectionScorer(graph).predict([IMAGE])[0]
    np.testing.assert_array_equal(
        found, DetectionScorer(graph, format="yolov8").predict([IMAGE])[0]
    )
    assert found["label"].tolist() == [1]


def test_a_named_format_and_a_callable_stay():
    graph = constant_detector({"output0": yolov8()})
    assert chosen(graph, format="yolov8") == "yolov8"
    assert chosen(graph, format=len) is len


@pytest.mark.parametrize(
    ("outputs", "options", "message"),
    [
        (
            {"logits": np.zeros((9, 3)), "pred_boxes": np.zeros((9, 4))},
            {},
            r"these formats match: \['detr', 'rt-detr'\]. Set `format` to one",
        ),
        (
            {"a": np.zeros((9, 3)), "b": np.zeros((9, 4))},
            {},
            r"these formats match: \['ssd', 'detr', 'rt-detr'\]. Set `format` to one",
        ),
        ({"t": yolov8(3)}, {"classes": ["a", "b"]}, r"by their shapes alone.*: \['yolov8'\]; but"),
        ({"t": np.zeros((30, 2, 2))}, {}, r"by their shapes alone.*: \['yolov2'\]; but"),
        (
            {"t": np.zeros((7, 7, 7, 7))},
            {},
            "no format matches, .* to a callable.*'ssd': scores of",
        ),
        (
            {"t": yolov8()},
            {"anchors": ANCHORS},
            r"match: \['yolov8'\]; .*anchors",
        ),
        ({"t": np.zeros(7)}, {"anchors": ANCHORS}, "'t' \\(7,\\), and no format matches"),
    ],
    ids=["two", "three", "labels", "grid", "four axes", "anchors", "one axis"],
)
def test_none_or_several_fit(outputs, options, message):
    detector = DetectionScorer(constant_detector(outputs), **options)
    for call in (lambda: detector.format_, lambda: detector.fit([IMAGE])):
        with pytest.raises(ValueError, match=message):
            call()


def test_outputs_without_a_shape():
    value = onnx.helper.make_tensor_value_info
    graph = model(
        [onnx.helper.make_node("Squeeze", ["image"], ["output0"])],
        [value("image", onnx.TensorProto.FLOAT, ["N", 3, 64, 64])],
        [value("output0", onnx.TensorProto.FLOAT, None)],
        [],
    )
    detector = DetectionScorer(graph)
    with pytest.raises(ValueError, match=r"does not state the shapes of its outputs \['output0'\]"):
        detector.fit([IMAGE])


def test_scores_without_a_background_are_refused():
    """A format that a person names is believed."""
    outputs = {"scores": np.full((3, 4), 0.9), "boxes": np.tile([0.1, 0.1, 0.5, 0.5], (3, 1))}
    outputs["scores"][:, 0] = 0
    graph = constant_detector(outputs)
    with pytest.raises(ValueError, match=r"the scores of a box sum to 2\.7, not"):
        DetectionScorer(graph).predict([IMAGE])
    assert len(DetectionScorer(graph, format="ssd").predict([IMAGE])[0]) > 0


def test_the_metadata_of_ultralytics():
    graph = ultralytics({"output0": yolov8()})
    assert chosen(graph) == "yolov8"
    detector = DetectionScorer(graph)
    assert detector.classes_.tolist() == ["person", "bicycle"]
    assert detector.predict([IMAGE])[0]["label"].tolist() == ["bicycle"]
    detector.set_params(classes=["a", "b"])
    assert detector.predict([IMAGE])[0]["label"].tolist() == ["b"]


def test_sizes_that_are_not_stated():
    """Ultralytics' dynamic export."""
    graph = ultralytics({"output0": yolov8()}, size=("w", "h"))
    assert chosen(graph) == "yolov8"
    detector = DetectionScorer(graph, image_size=64)
    assert detector.predict([IMAGE])[0]["label"].tolist() == ["bicycle"]


def test_labels_of_a_callable():
    graph = ultralytics({"output0": yolov8()})
    detector = DetectionScorer(graph, format=lambda o, g: ([[0, 0, 9, 9]], [0.9], [1]))
    assert detector.predict([IMAGE])[0]["label"].tolist() == ["bicycle"]
    detector.format = lambda o, g: ([[0, 0, 9, 9]], [0.9], [2])
    message = r"returned class 2, but the file's metadata \(`names`\) has labels for .* 0 to 1"
    with pytest.raises(ValueError, match=message):
        detector.predict([IMAGE])


@pytest.mark.parametrize("task", ["obb", "classify", "segment", "pose"])
def test_another_task_is_refused(task):
    """Rotated boxes have one more row, an angle, which is not a class."""
    outputs = {"output0": np.vstack([yolov8(), np.zeros(84)])}
    with pytest.raises(ValueError, match='format="auto" cannot find the format'):
        DetectionScorer(ultralytics(outputs, task)).fit([IMAGE])
    detector = DetectionScorer(ultralytics(outputs, task), format="yolov8")
    message = r"metadata \(`names`\) has 2 labels, but .* have 3 classes. If it is right, set `cl"
    with pytest.raises(ValueError, match=message):
        detector.fit([IMAGE])


@pytest.mark.parametrize(
    "names",
    [
        *("", "nothing", "{", "{0: 'a'", "__import__('os')", "{0: f'{1}'}", "{0: b'a', 1: 'b'}"),
        *("{1: 'a', 2: 'b'}", "{0: 1, 1: 2}", "{0: ['a'], 1: 'b'}", "3", "[]"),
        *("{" * 10_000, "-" * 100_000 + "1", "[" + "1" * 5000 + "]", "{0: 'a', 1: '" + "b" * 2**20),
        "{0: '" + "\\'" * 2**18,  # of quadratic time, if each quote were a start
        "{0: 'a', 1: '" + "b" * 201 + "'}",  # each label would take as much memory
    ],
    ids=lambda names: f"{len(names)} {names[:20]}",
)
def test_names_that_are_not_labels_are_ignored(names):
    detector = DetectionScorer(ultralytics({"output0": yolov8()}, names=names))
    assert detector.classes_.tolist() == [0, 1]


@pytest.mark.parametrize(
    "names",
    [
        ["a", 'it\'s "b"'],
        {0: "a", 1: 'it\'s "b"'},
        {1: 'it\'s "b"', 0: "a"},
        ' {0: "a", 1: \'it\\\'s "b"\',}\n',
    ],
    ids=str,
)
def test_forms_of_names(names):
    detector = DetectionScorer(ultralytics({"output0": yolov8()}, names=names))
    assert detector.classes_.tolist() == ["a", 'it\'s "b"']


def test_other_names_in_the_metadata():
    """Only Ultralytics writes both entries; others may use the word for something else."""
    tables = {"scores": np.full((3, 2), 0.5), "boxes": np.full((3, 4), 0.1)}
    graph = with_metadata(constant_detector(tables), names="UltraFace")
    assert chosen(graph) == "ssd"
    assert DetectionScorer(graph).classes_.tolist() == [0]


def test_ssd_without_a_box():
    graph = constant_detector({"scores": np.zeros((0, 3)), "boxes": np.zeros((0, 4))})
    detector = DetectionScorer(graph)
    assert detector.format_ == "ssd"
    assert len(detector.predict([IMAGE])[0]) == 0


def test_numbers_of_labels_and_classes_are_in_the_error():
    detector = DetectionScorer(constant_detector({"output0": yolov8()}), classes=["a", "b", "c"])
    message = r"There are 3 labels; numbers of classes by format: \{'yolov8': 2\}. Set `format`"
    with pytest.raises(ValueError, match=message):
        detector.fit([IMAGE])
