import pickle
import tracemalloc
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import config_context
from sklearn.model_selection import cross_validate

from sklearn_dl import DetectionScorer, ImageLoader, ImageResizer, clear_sessions
from sklearn_dl.images import ImageReadError
from sklearn_dl.metrics import make_detections, mean_average_precision_scorer
from sklearn_dl.vision.detection import _detection_scorer
from tests.vision.detection.detectors import ANCHORS, color_detector, constant_detector, squares

COLORS = ["red", "green", "blue"]
IMAGE = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def graph():
    return color_detector()


@pytest.fixture
def detector(graph):
    return DetectionScorer(graph, format="yolov2", classes=COLORS, anchors=ANCHORS)


def boxes(found):
    return [[found[i][name].item() for name in ("x0", "y0", "x1", "y1")] for i in range(len(found))]


def test_objects_of_each_image(detector):
    images = [squares((0, 1, 2), (2, 5, 5)), squares(), squares((1, 0, 9))]
    first, nothing, third = detector.predict(images)
    assert sorted(first["label"]) == ["blue", "red"]
    assert boxes(first[first["label"] == "red"]) == [[32, 64, 64, 96]]
    assert boxes(first[first["label"] == "blue"]) == [[160, 160, 192, 192]]
    assert nothing.shape == (0,)
    assert nothing.dtype == first.dtype
    assert boxes(third) == [[0, 288, 32, 320]]
    assert first["score"].dtype == np.float32
    assert (first["score"] > 0.99).all()
    assert detector.classes_.tolist() == COLORS


@pytest.mark.parametrize(
    ("size", "mode"), [((640, 320), "fill"), ((100, 50), "fill"), ((320, 640), "fill")]
)
def test_boxes_are_in_pixels_of_the_original(detector, size, mode):
    image = squares((0, 1, 2), size=size)
    (found,) = detector.set_params(resize_mode=mode).predict([image])[0]
    width, height = size[0] / 10, size[1] / 10
    expected = [width, 2 * height, 2 * width, 3 * height]
    np.testing.assert_allclose(boxes([found])[0], expected, atol=1e-4)


@pytest.mark.parametrize(("mode", "left"), [("pad", 80), ("pad_end", 0), ("crop", None)])
def test_boxes_of_padded_and_cropped_images(detector, mode, left):
    # a tall image: fitted in it is 160 wide; cropped, rows 160 to 480 of its 640 are seen
    image = np.zeros((640, 320, 3), np.uint8)
    if mode == "crop":
        image[160 + 64 : 160 + 96, 32:64, 0] = 255
        expected = [32, 224, 64, 256]
    else:
        columns = np.arange(320) // 2 + left
        image[128:192, (columns >= 96) & (columns < 128), 0] = 255
        expected = [2 * (96 - left), 128, 2 * (128 - left), 192]
    detector.set_params(resize_mode=mode, score_threshold=0.05)
    found = detector.predict([image])[0]
    # the grey border is of no colour more than another, and is found as an object of its own
    found = found[found["label"] == "red"]
    found = found[(found["x1"] - found["x0"]) * (found["y1"] - found["y0"]) > 1]
    distances = np.abs(np.array(boxes(found)) - expected).max(axis=1)
    assert distances.min() < 1e-4


def test_exif_rotation(detector):
    image = squares((0, 1, 2))
    upright = Image.fromarray(image)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    buffer = BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "PNG", exif=exif)
    np.testing.assert_array_equal(
        detector.predict([buffer.getvalue()])[0], detector.predict([image])[0]
    )


def test_boxes_are_clipped_and_empty_ones_dropped():
    rows = np.array([[-0.5, -0.5, 0.5, 0.5], [0.5, 0.5, 1.5, 1.5], [1.2, 0.0, 1.5, 0.5]])
    scores = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    graph = constant_detector({"scores": scores, "boxes": rows})
    found = DetectionScorer(graph, format="ssd").predict([np.zeros((50, 100, 3), np.uint8)])[0]
    assert boxes(found) == [[0, 0, 50, 25], [50, 25, 100, 50]]


def two_classes_on_one_place():
    """The table of "yolov8" for three boxes on one place, of two classes, and one elsewhere."""
    table = np.array(
        [
            [32, 32, 20, 20, 0.5, 0.1],
            [33, 32, 20, 20, 0.6, 0.1],
            [32, 33, 20, 20, 0.1, 0.9],
            [10, 10, 8, 8, 0.7, 0.2],
        ]
    ).T
    return np.hstack([table, np.zeros((6, 20))])


def test_suppression_is_by_class_and_sorted():
    graph = constant_detector({"output0": two_classes_on_one_place()})
    detector = DetectionScorer(graph, format="yolov8")
    found = detector.predict([IMAGE])[0]
    assert found["score"].tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert found["label"].tolist() == [1, 0, 0]
    assert len(detector.set_params(iou_threshold=1.0).predict([IMAGE])[0]) == 4
    assert len(detector.set_params(max_detections=2).predict([IMAGE])[0]) == 2
    found = detector.set_params(score_threshold=0.8, max_detections=300).predict([IMAGE])[0]
    assert found["score"].tolist() == pytest.approx([0.9])


def test_class_agnostic_suppression():
    graph = constant_detector({"output0": two_classes_on_one_place()})
    detector = DetectionScorer(graph, format="yolov8", class_agnostic=True)
    found = detector.predict([IMAGE])[0]
    assert found["score"].tolist() == pytest.approx([0.9, 0.7])
    assert found["label"].tolist() == [1, 0]
    assert len(detector.set_params(iou_threshold=1.0).predict([IMAGE])[0]) == 4


def test_detr_suppresses_nothing():
    boxes_ = np.tile([0.5, 0.5, 0.2, 0.2], (3, 1))
    logits = np.tile([5.0, 0.0, 0.0], (3, 1))
    graph = constant_detector({"logits": logits, "pred_boxes": boxes_})
    assert len(DetectionScorer(graph, format="detr").predict([IMAGE])[0]) == 3
    assert len(DetectionScorer(graph, format="rt-detr").predict([IMAGE])[0]) == 3


@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_batches_do_not_matter(batch, batch_size):
    detector = DetectionScorer(
        color_detector(batch), format="yolov2", anchors=ANCHORS, batch_size=batch_size
    )
    images = [squares((i % 3, i, i)) for i in range(10)] + [squares()]
    found = detector.predict(images)
    for i in range(10):
        assert boxes(found[i]) == [[32 * i, 32 * i, 32 * i + 32, 32 * i + 32]]
        assert found[i]["label"].tolist() == [i % 3]
    assert len(found[10]) == 0


def test_nhwc_and_given_pixels(monkeypatch):
    seen = []
    graph = constant_detector(
        {"scores": [[0.1, 0.9]], "boxes": [[0, 0, 1, 1]]}, size=(48, 32), layout="NHWC"
    )
    image = np.zeros((32, 48, 3), np.uint8)
    image[..., 0] = 200
    detector = DetectionScorer(
        graph, format="ssd", colors="BGR", offset=[0, 0, 100], scale=0.5, image_size=(48, 32)
    )

    original = _detection_scorer.PixelSource.read
    monkeypatch.setattr(
        _detection_scorer.PixelSource,
        "read",
        lambda self, rows: seen.append(original(self, rows)) or seen[-1],
    )
    detector.predict([image])
    (pixels, _) = seen[0]
    assert pixels.shape == (1, 32, 48, 3)
    assert pixels[0, 0, 0].tolist() == [0, 0, 50]


def test_dynamic_size_and_image_size():
    detector = DetectionScorer(color_detector(), format="yolov2", anchors=ANCHORS, image_size=320)
    assert len(detector.predict([squares((0, 1, 1))])[0]) == 1
    with pytest.raises(ValueError, match="image_size=416, but the graph takes 320 x 320"):
        detector.set_params(image_size=416).predict([squares()])
    half_open = constant_detector({"s": [[0.1, 0.9]], "b": [[0, 0, 1, 1]]}, size=("w", 64))
    with pytest.raises(ValueError, match="image_size=32, but the graph takes any x 64 pixels"):
        DetectionScorer(half_open, format="ssd", image_size=32).fit([IMAGE])
    for size in ((0, 5), (1, 2, 3), (2.5, 2)):
        with pytest.raises(ValueError, match=r"must be an int or \(width, height\), in pixels"):
            detector.set_params(image_size=size).predict([squares()])


def test_a_callable_decodes(detector):
    def decode(outputs, geometry):
        assert list(outputs) == ["grid"]
        assert outputs["grid"].shape == (16, 10, 10)
        assert geometry.input_size == (320, 320)
        assert geometry.image_size == (640, 320)
        return [[0, 0, 160, 160], [0, 0, 10, 10]], [0.9, 0.1], [2, 0]

    detector.set_params(format=decode, anchors=None)
    (found,) = detector.predict([np.zeros((320, 640, 3), np.uint8)])[0]
    assert boxes([found]) == [[0, 0, 320, 160]]
    assert found["label"] == "blue"
    detector.set_params(format=lambda outputs, geometry: ([[0, 0, 1, 1]], [0.9], [3]))
    with pytest.raises(
        ValueError, match="returned class 3, but `classes` has labels for the classes 0 to 2"
    ):
        detector.predict([squares()])
    detector.set_params(format=lambda outputs, geometry: ([[0, 0, 1, 1]], [0.9, 0.8], [3]))
    with pytest.raises(ValueError, match=r"boxes of shape \(1, 4\), scores of shape \(2,\)"):
        detector.predict([squares()])


def test_predict_frame(detector):
    X = pd.Series([squares((0, 1, 2)), squares(), squares((1, 0, 9), (2, 3, 3))], index=list("abc"))
    frame = detector.predict_frame(X)
    assert list(frame.columns) == ["image", "label", "score", "x0", "y0", "x1", "y1"]
    assert frame["image"].tolist() == ["a", "c", "c"]
    assert sorted(frame["label"]) == ["blue", "green", "red"]
    frame = detector.predict_frame(list(X))
    assert frame["image"].tolist() == [0, 2, 2]
    assert detector.predict_frame([squares()]).shape == (0, 7)


def test_bad_images(detector, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"not an image")
    Image.fromarray(squares((0, 1, 2))).save(tmp_path / "good.png")
    paths = [str(tmp_path / name) for name in ("good.png", "bad.jpg", "good.png")]
    with pytest.raises(ImageReadError, match=r"Row 1: cannot read .*bad\.jpg") as caught:
        detector.predict(paths)
    assert (caught.value.row, caught.value.source) == (1, paths[1])
    detector.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="1 of 3 images could not be read"):
        found = detector.predict(paths)
    assert found[1] is None
    assert len(found[0]) == len(found[2]) == 1
    with pytest.warns(UserWarning, match="1 of 3 images"):
        assert detector.predict_frame(paths)["image"].tolist() == [0, 2]
    with pytest.raises(ValueError, match="without pixels"):
        detector.set_params(on_error="raise").predict([np.zeros((0, 5, 3), np.uint8)])


def test_an_image_with_steps_of_its_own_has_their_size(detector):
    images = ImageResizer(160, 160, resize_mode="fill").transform(
        ImageLoader().transform([squares((0, 1, 2))])
    )
    assert boxes(detector.predict(images)[0]) == [[16, 32, 32, 48]]


@pytest.mark.parametrize(
    ("outputs", "name", "fit"),
    [
        ({"out": np.zeros((12, 40))}, "yolov2", ["yolov8", "yolov8-pose"]),
        ({"out": np.zeros((84, 11))}, "yolov8", ["yolov6", "yolox", "yolox-decoded", "ppyoloe"]),
        ({"out": np.zeros((252, 11))}, "yolox", ["yolov5"]),
        ({"out": np.zeros((30, 6))}, "yolov8", ["yolov10"]),
        ({"a": np.zeros((40, 50)), "b": np.zeros((32, 9, 9))}, "yolov8", ["yolov8-seg"]),
        ({"out": np.zeros((50, 4, 4))}, "yolov8", ["yolov2"]),
        ({"s": np.zeros((9, 3)), "b": np.zeros((9, 4))}, "yolox", ["ssd", "detr", "rt-detr"]),
    ],
)
def test_a_format_that_does_not_fit_says_which_would(outputs, name, fit):
    for open_ in ((), tuple(outputs)):
        detector = DetectionScorer(constant_detector(outputs, open_=open_), format=name)
        with pytest.raises(ValueError, match=f"format='{name}' expects") as error:
            detector.predict([IMAGE])
        assert f"these formats match: {fit}" in str(error.value)
        for output, array in outputs.items():
            assert f"'{output}' {array.shape}" in str(error.value)


def test_classes_and_anchors_that_do_not_fit(detector):
    with pytest.raises(ValueError, match=r"`classes` has 2 labels, but .* have 3 classes"):
        detector.set_params(classes=["a", "b"]).fit([squares()])
    detector.set_params(classes=None, anchors=[[1, 1]] * 3)
    with pytest.raises(ValueError, match=r"must be 3 \* \(5 \+ n_classes\), but it is 16"):
        detector.fit([squares()])
    twice = constant_detector({"a": np.zeros((21, 4, 4)), "b": np.zeros((21, 4, 4))})
    with pytest.raises(ValueError, match="expects one output") as error:
        DetectionScorer(twice, format="yolov2", anchors=[[1, 1]] * 3).fit([IMAGE])
    assert "With 3 anchors" not in str(error.value)
    for anchors in ([1, 2], [], [[0, 1]], [["a", "b"]], [[1], [1, 2]]):
        with pytest.raises(ValueError, match=r"`anchors` must have shape \(n_anchors, 2\)"):
            detector.set_params(anchors=anchors).fit([squares()])
    graph = constant_detector({"scores": [[0.1, 0.9]], "boxes": [[0, 0, 1, 1]]})
    with pytest.raises(ValueError, match="format='ssd' does not use anchors"):
        DetectionScorer(graph, format="ssd", anchors=ANCHORS).fit([IMAGE])


@pytest.mark.parametrize(
    "params",
    [
        {"score_threshold": 1.1},
        {"iou_threshold": -0.1},
        {"class_agnostic": "no"},
        {"max_detections": 0},
        {"format": "yolo"},
        {"resize_mode": "stretch"},
    ],
    ids=str,
)
def test_parameters_out_of_range(detector, params):
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter"):
        detector.set_params(**params).predict([squares()])


def test_a_graph_that_is_not_a_detector():
    with pytest.raises(ValueError, match="does not have one result per row"):
        DetectionScorer(
            # one table for the whole batch
            _whole_batch_graph(),
            format=lambda outputs, geometry: None,
        ).predict([IMAGE, IMAGE])


def _whole_batch_graph():
    from onnx import TensorProto, helper

    from tests.vision.detection.detectors import model

    return model(
        [helper.make_node("ReduceMean", ["image"], ["rows"], axes=[0, 2, 3], keepdims=0)],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 64, 64])],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["M"])],
        [],
    )


def test_pickles_and_clones_find_the_same(detector, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(detector.model)
    X = [squares((0, 1, 2)), squares()]
    expected = detector.predict(X)
    by_path = detector.set_params(model=str(path))
    carried, light = (
        pickle.dumps(by_path.set_params(embed_model=embed)) for embed in (True, False)
    )
    assert len(light) < len(carried)
    clear_sessions()
    np.testing.assert_array_equal(pickle.loads(light).predict(X)[0], expected[0])
    path.unlink()
    clear_sessions()
    np.testing.assert_array_equal(pickle.loads(carried).predict(X)[0], expected[0])
    with pytest.raises(FileNotFoundError):
        pickle.loads(light).predict(X)


def test_score_and_cross_validate(detector):
    X = [squares((i % 3, i, 2)) for i in range(6)]
    y = [make_detections([[32 * i, 64, 32 * i + 32, 96]], [COLORS[i % 3]]) for i in range(6)]
    assert detector.score(X, y) == 1.0
    results = cross_validate(detector, X, y, cv=3, scoring=mean_average_precision_scorer)
    assert results["test_score"].tolist() == [1.0] * 3
    y[0] = make_detections([[0, 0, 32, 32]], ["red"])  # it is further down
    assert detector.score(X, y) == pytest.approx((1 + 1 + 0.5 * 51 / 101) / 3, abs=1e-6)


def test_outputs_are_not_kept():
    # 2.8 MB of outputs an image: 340 MB for all
    table = np.zeros((84, 8400), np.float32)
    detector = DetectionScorer(constant_detector({"output0": table}), format="yolov8", batch_size=2)
    images = [IMAGE] * 120
    detector.predict(images[:8])
    tracemalloc.start()
    try:
        detector.predict(images)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60e6


def test_nothing_is_found_by_a_name_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        DetectionScorer("nowhere.onnx", format="yolox").predict([IMAGE])


def test_one_image_is_no_column(detector):
    for call in (detector.predict, detector.fit):
        with pytest.raises(ValueError, match="looks like one image"):
            call(squares())


def test_a_global_output_of_frames(detector):
    with config_context(transform_output="pandas"):
        assert len(detector.predict([squares((0, 1, 2))])[0]) == 1


def test_exif_after_the_pixels_of_a_png(detector):
    image = squares((0, 1, 2), size=(640, 320))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    turned = Image.fromarray(image).transpose(Image.Transpose.ROTATE_90)
    turned.save(buffer, "PNG", exif=exif)
    data = buffer.getvalue()
    start = data.index(b"eXIf") - 4
    size = 12 + int.from_bytes(data[start : start + 4], "big")
    end = data.index(b"IEND") - 4
    moved = data[:start] + data[start + size : end] + data[start : start + size] + data[end:]
    np.testing.assert_array_equal(detector.predict([moved])[0], detector.predict([image])[0])


def test_a_box_in_the_border_suppresses_no_other_box():
    # a wide image in a square input: the upper quarter is border
    table = np.zeros((5, 40))
    table[:, 0] = [32, 6, 10, 10, 0.9]
    table[:, 1] = [32, 32, 10, 10, 0.8]
    graph = constant_detector({"output0": table})
    detector = DetectionScorer(graph, format="yolov8", max_detections=1)
    found = detector.predict([np.zeros((32, 64, 3), np.uint8)])[0]
    assert found["score"].tolist() == pytest.approx([0.8])


def test_the_levels_of_a_format_follow_the_colors():
    graph = constant_detector({"logits": np.zeros((2, 3)), "pred_boxes": np.zeros((2, 4))})
    detector = DetectionScorer(graph, format="detr", colors="BGR")
    pixels = detector._reader(detector._session()).pixels(
        ImageLoader().transform([np.full((8, 8, 3), 100, np.uint8)])[:, 0]
    )
    expected = [(100 - 103.53) / 57.375, (100 - 116.28) / 57.12, (100 - 123.675) / 58.395]
    np.testing.assert_allclose(np.asarray(pixels)[0, :, 0, 0], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="with colors='L', set `offset`"):
        detector.set_params(colors="L").predict([IMAGE])


def test_images_that_the_loader_masks_are_masked(detector, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"not an image")
    images = ImageLoader(on_error="nan").transform([squares((0, 1, 1)), tmp_path / "bad.png"])
    with pytest.warns(UserWarning, match="1 of 2 images could not be read"):
        found = detector.predict(images)
    assert found[0]["label"].tolist() == detector.predict(images[:1])[0]["label"].tolist()
    assert found[1] is None
    with pytest.raises(ImageReadError, match="Row 1"):
        detector.predict(ImageLoader().transform([squares(), tmp_path / "bad.png"]))
