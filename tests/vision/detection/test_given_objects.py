"""The y of ObjectDetector: its forms, and errors about a row or a box."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone

from sklearn_dl import ObjectDetector
from sklearn_dl.images import ImageReadError
from sklearn_dl.images._loader import load_column
from sklearn_dl.metrics import make_detections
from sklearn_dl.vision.detection._detection_rows import detection_rows
from sklearn_dl.vision.detection._given_objects import given_objects
from tests.vision.detection.drawn_squares import (
    QUICK,
    SIZE,
    assert_equal_detections,
    drawn_images,
    small_maps,
)

NOTHING = make_detections([], [])
BOX = [8.5, 4.25, 40.0, 52.5]


@pytest.fixture
def detector():
    return ObjectDetector(small_maps, **QUICK)


@pytest.fixture(scope="module")
def images():
    return drawn_images(4)[0]


def rows_of(images, on_error="raise"):
    column = load_column(images, ObjectDetector(), reset=True, on_error=on_error)
    return detection_rows(column, 64, None, on_error == "nan")


def boxes_of(objects):
    return [[list(o)[:4] for o in image.tolist()] for image in objects]


def image_file(path, size=(SIZE, SIZE), orientation=1, n_bytes=None):
    """Save a grey image in a file that ends after `n_bytes`."""
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    Image.new("RGB", size, (90, 90, 90)).save(file, "PNG", exif=exif)
    path.write_bytes(file.getvalue()[:n_bytes])
    return str(path)


def forms():
    objects = [make_detections([BOX], ["a"]), make_detections([[0, 0, 9, 9]], ["b"])]
    array = np.empty(2, dtype=object)
    array[:] = objects
    return {
        "list": objects,
        "object array": array,
        "two dimensions": np.stack(objects),
        "dicts": [
            {"boxes": np.array([BOX]), "labels": ["a"]},
            {"boxes": [[0, 0, 9, 9]], "labels": np.array(["b"]), "scores": [0.5]},
        ],
        "series": pd.Series(objects, index=[7, 3]),
        "tuple": tuple(objects),
    }


@pytest.mark.parametrize("form", forms())
def test_forms(images, form, detector):
    y = forms()[form]
    found = given_objects(y, rows_of(images[:2]), "y")
    assert boxes_of(found) == [[BOX], [[0, 0, 9, 9]]]
    assert [image["label"].tolist() for image in found] == [["a"], ["b"]]
    expected = clone(detector).fit(images[:2], forms()["list"]).predict(images)
    assert_equal_detections(detector.fit(images[:2], y).predict(images), expected)


def test_boxes_end_at_the_edges_and_y_does_not_change(images):
    y = [make_detections([[-5, 2.5, 30, 200], [90, -1, 97, 3]], ["a", "b"])]
    before = y[0].copy()
    (found,) = given_objects(y, rows_of(images[:1]), "y")
    assert boxes_of([found]) == [[[0, 2.5, 30, SIZE], [90, 0, SIZE, 3]]]
    np.testing.assert_array_equal(y[0], before)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, r"^y\[2\] is None\. An image without objects has an array of length 0"),
        ({"boxes": [BOX, [0, 0, np.nan, 9]], "labels": [1, 1]}, r"`y\[2\]`: Box 1 is .*nan.*finit"),
        ({"boxes": [BOX, [9, 0, 5, 9]], "labels": [1, 1]}, r"`y\[2\]`: Box 1 is .*x0 <= x1"),
        ({"boxes": [BOX, [9, 0, 9, 9]], "labels": [1, 1]}, r"y\[2\]: box 1 is .*has no area"),
        (
            {"boxes": [BOX, [96, 0, 99, 9]], "labels": [1, 1]},
            r"y\[2\]: box 1 is \[96\.0, 0\.0, 99\.0, 9\.0\], which lies outside its image of "
            "96 x 96 pixels",
        ),
        ({"boxes": [BOX, [0, -9, 9, -2]], "labels": [1, 1]}, r"y\[2\]: box 1 .*lies outside"),
        ({"boxes": [BOX], "labels": [None]}, r"`y\[2\]` has a label that is missing"),
        ({"boxes": [BOX], "labels": [np.nan]}, r"`y\[2\]` has a label that is missing"),
        ({"boxes": [BOX]}, r"`y\[2\]` must be .*it lacks \['labels'\]"),
        ({"boxes": [BOX], "labels": []}, r"`y\[2\]`: There are 1 boxes, labels of shape \(0,\)"),
        ([BOX], r"`y\[2\]` must be .*it lacks"),
        ("cat", r"`y\[2\]` must be .*it lacks"),
    ],
    ids=lambda value: None,
)
def test_what_is_wrong_is_named(detector, images, wrong, message):
    good = {"boxes": [BOX], "labels": [1]}
    with pytest.raises(ValueError, match=message):
        detector.fit(images, [good, good, wrong, good])
    assert not hasattr(detector, "classes_")
    with pytest.raises(ValueError, match=message.replace("y", "y_val", 1)):
        detector.set_params(early_stopping=True).fit(
            images, [good] * 4, X_val=images[:3], y_val=[good, good, wrong]
        )


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (make_detections([BOX] * 4, [1] * 4), "y is one ndarray, but it must be a list with the"),
        ({"boxes": [BOX] * 4, "labels": [1] * 4}, "y is one dict, but it must be a list with the"),
        ("cats", "y is one str"),
        (pd.DataFrame({"image": [0], "label": ["a"]}), r"datasets\.detections_from_frame"),
        ([NOTHING] * 3, r"inconsistent numbers of samples: \[4, 3\]"),
        (
            [NOTHING] * 4,
            "needs objects to learn from, but there are none in 4 images",
        ),
        (None, "y"),
    ],
    ids=["array", "dict", "text", "frame", "short", "no object", "None"],
)
def test_a_y_that_is_no_list_of_objects(detector, images, y, message):
    with pytest.raises(ValueError, match=message):
        detector.fit(images, y)


@pytest.mark.parametrize(
    "labels",
    [["b", "a"], [7, -3], [True, False], np.array(["b", "a"], dtype=object), [2.5, 1.0]],
    ids=["str", "int", "bool", "object", "float"],
)
def test_labels(detector, images, labels):
    y = [make_detections([BOX], labels[:1]), make_detections([BOX], labels[1:]), NOTHING, NOTHING]
    detector.set_params(score_threshold=0.0).fit(images, y)
    assert detector.classes_.tolist() == sorted(labels)
    found = detector.predict(images)
    assert all(image["label"].dtype == np.asarray(labels).dtype for image in found)
    assert set(np.concatenate([image["label"] for image in found])) == set(labels)


@pytest.mark.parametrize("dtype", [None, object])
def test_labels_of_two_kinds(detector, images, dtype):
    y = [{"boxes": [BOX], "labels": np.array([label], dtype)} for label in ("a", "b", "c", 3)]
    with pytest.raises(ValueError, match="all strings or all numbers, but two of them are 'a' and"):
        detector.fit(images, y)


@pytest.mark.parametrize("dtype", [None, object])
@pytest.mark.parametrize("label", ["c", 3])
def test_a_label_that_only_y_val_has(detector, images, label, dtype):
    detector.set_params(early_stopping=True)
    y = [make_detections([BOX], np.array(["a"], dtype))] * 4
    y_val = [y[0], make_detections([BOX], np.array([label], dtype))]
    with pytest.raises(ValueError, match=rf"y_val has the label {label!r} in row 1, but the label"):
        detector.fit(images, y, X_val=images[:2], y_val=y_val)


def test_validation_rows_without_objects(detector, images):
    detector.set_params(early_stopping=True, class_weight="balanced")
    y = [make_detections([BOX], ["a"])] * 4
    with pytest.raises(ValueError, match="y_val has no object"):
        detector.fit(images, y, X_val=images[:1], y_val=[NOTHING])
    with pytest.raises(ValueError, match="The validation rows have no object"):
        detector.fit(
            images, y, X_val=images[:2], y_val=[NOTHING, y[0]], sample_weight_val=[1.0, 0.0]
        )


def test_boxes_are_those_of_the_rotated_image(detector, tmp_path):
    path = image_file(tmp_path / "turned.png", (64, 32), orientation=6)
    y = [make_detections([[0, 40, 32, 70]], ["a"])]
    rows = rows_of([path])
    assert rows.sizes.tolist() == [[32, 64]]
    assert boxes_of(given_objects(y, rows, "y")) == [[[0, 40, 32, 64]]]
    with pytest.raises(ValueError, match=r"outside its image of 32 x 64 pixels.* EXIF"):
        detector.fit([path], [make_detections([[40, 0, 60, 30]], ["a"])])
    found = detector.set_params(score_threshold=0.0).fit([path], y).predict([path])[0]
    assert found["x1"].max() <= 32
    assert 32 < found["y1"].max() <= 64


# no image, an image without its last bytes: the second one has a size
@pytest.mark.parametrize("n_bytes", [4, 150])
def test_an_unreadable_image_is_named(detector, images, tmp_path, n_bytes):
    path = image_file(tmp_path / "damaged.png", n_bytes=n_bytes)
    X, y = [*images[:2], path], [make_detections([BOX], ["a"])] * 3
    for layers in (0, "all"):
        detector.set_params(trainable_layers=layers, early_stopping=False)
        with pytest.raises(ImageReadError, match=r"Row 2: .*damaged\.png"):
            detector.fit(X, y)
        detector.set_params(early_stopping=True)
        with pytest.raises(ImageReadError, match=r"Row 2: .*damaged\.png"):
            detector.fit(images, [*y, y[0]], X_val=X, y_val=y)
    detector.set_params(early_stopping=False).fit(images, [*y, y[0]])
    with pytest.raises(ImageReadError, match=r"Row 2: .*damaged\.png"):
        detector.predict(X)


@pytest.mark.slow
@pytest.mark.parametrize("n_bytes", [4, 150])
@pytest.mark.parametrize("layers", [0, "all"])
def test_unreadable_images_are_left_out(detector, images, tmp_path, n_bytes, layers):
    path = image_file(tmp_path / "damaged.png", n_bytes=n_bytes)
    y = [make_detections([BOX], [label]) for label in "abab"]
    detector.set_params(trainable_layers=layers)
    expected = clone(detector).fit(images, y)
    detector.set_params(on_error="nan")
    X = [images[0], path, *images[1:]]
    # outside of all images, but it is not known how large this one is
    box = [900, 0, 901, 9] if n_bytes == 4 else BOX
    with pytest.warns(UserWarning, match=r"1 of 5 images.*damaged\.png") as caught:
        detector.fit(X, [y[0], make_detections([box], ["a"]), *y[1:]])
    assert len(caught) == 1
    with pytest.warns(UserWarning, match=r"1 of 5 images.*damaged\.png") as caught:
        found = detector.predict(X)
    assert len(caught) == 1
    assert found[1] is None
    assert_equal_detections(found[[0, 2, 3, 4]], expected.predict(images))
    with pytest.warns(UserWarning, match="1 of 5 images"):
        assert set(detector.predict_frame(X)["image"]) <= {0, 2, 3, 4}
    with pytest.raises(ValueError, match="No image can be used"):
        detector.fit([path], y[:1])


def test_no_image_of_x_val_can_be_read(detector, images, tmp_path):
    path = image_file(tmp_path / "damaged.png", n_bytes=4)
    y = [make_detections([BOX], ["a"])] * 4
    detector.set_params(early_stopping=True, on_error="nan")
    with pytest.raises(ValueError, match="No image of X_val can be used"):
        detector.fit(images, y, X_val=[path], y_val=y[:1])
