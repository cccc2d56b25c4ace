"""load_detections on COCO: images, boxes, and malformed files."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sklearn_dl.datasets import load_detections
from sklearn_dl.metrics import make_detections
from sklearn_dl.metrics._boxes import box_array

CLASSES = [{"id": 7, "name": "spot"}, {"id": 3, "name": "cell"}, {"id": 4, "name": "none"}]
IMAGES = [
    {"id": 20, "file_name": "b.png", "width": 10, "height": 8},
    {"id": 10, "file_name": "a.png"},
    {"id": 30, "file_name": "c.png", "width": None, "height": None},
]
BOXES = [
    {"id": 1, "image_id": 10, "category_id": 3, "bbox": [1, 2, 7, 4.5], "iscrowd": 0},
    {"id": 2, "image_id": 20, "category_id": 7, "bbox": [0.25, 0, 9, 8]},
    {"id": 3, "image_id": 10, "category_id": 7, "bbox": [3, 1, 2, 2]},
]


def coco(images=IMAGES, annotations=BOXES, categories=CLASSES):
    return {"images": images, "annotations": annotations, "categories": categories}


def write(path, content=None, size=(10, 8)):
    """Write JSON, or an image of a size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    else:
        Image.new("RGB", size).save(path)


@pytest.fixture
def path(tmp_path):
    for name in "abc":
        write(tmp_path / f"{name}.png")
    write(tmp_path / "boxes.json", coco())
    return tmp_path / "boxes.json"


def test_boxes_of_each_image(path):
    data = load_detections(path)
    assert data.data.tolist() == [os.path.realpath(path.parent / f"{n}.png") for n in "bac"]
    assert data.target_names == ["spot", "cell", "none"]
    first, second, third = data.target
    np.testing.assert_array_equal(first, make_detections([[0.25, 0, 9.25, 8]], ["spot"]))
    expected = make_detections([[1, 2, 8, 6.5], [3, 1, 5, 3]], ["cell", "spot"])
    np.testing.assert_array_equal(second, expected)
    assert len(third) == 0
    assert first.dtype == second.dtype == third.dtype == expected.dtype


@pytest.mark.parametrize("given", [str, Path, lambda path: path.parent])
def test_a_file_or_its_folder(path, given):
    X, y = load_detections(given(path), return_X_y=True)
    assert [Path(name).name for name in X] == ["b.png", "a.png", "c.png"]
    assert [len(row) for row in y] == [1, 2, 0]


@pytest.mark.parametrize(
    ("annotations", "images"),
    [
        ("result.json", "images"),
        ("labels.json", "data"),
        ("train2017.json", "train2017"),
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_train2017.json", "images/train2017"),
        ("annotations/instances_default.json", "images"),
        ("annotations/instances_default.json", "."),
        ("annotations/x.json", "annotations"),
        ("train/_annotations.coco.json", "train"),
    ],
)
def test_where_tools_put_images(tmp_path, annotations, images):
    write(tmp_path / annotations, coco())
    for name in "abc":
        write(tmp_path / images / f"{name}.png")
    data = load_detections(tmp_path / annotations)
    assert data.data[0] == os.path.realpath(tmp_path / images / "b.png")
    assert load_detections(tmp_path).data.tolist() == data.data.tolist()


def test_images_in_another_folder(path):
    other = path.parent / "other"
    for name in "abc":
        write(other / f"{name}.png", size=(10, 8))
        (path.parent / f"{name}.png").unlink()
    message = r"images\[0\]: the image 'b.png' is in none of these folders: \['.*images"
    with pytest.raises(FileNotFoundError, match=message):
        load_detections(path)
    assert load_detections(path, images=other).data[1] == os.path.realpath(other / "a.png")


def test_names_with_folders(path):
    (path.parent / "x" / "y").mkdir(parents=True)
    (path.parent / "a.png").rename(path.parent / "x" / "y" / "a.png")
    write(path, coco(images=[IMAGES[0], IMAGES[1] | {"file_name": "x/y/a.png"}]))
    assert load_detections(path).data[1].endswith("/x/y/a.png")


def test_splits_are_files_or_folders(tmp_path):
    for name in "abc":
        write(tmp_path / "images" / f"{name}.png")
        write(tmp_path / "valid" / f"{name}.png")
    write(tmp_path / "annotations" / "instances_train.json", coco(images=IMAGES[:2]))
    write(tmp_path / "annotations" / "untrain.json", coco())
    write(tmp_path / "valid" / "_annotations.coco.json", coco())
    write(tmp_path / "notes.json", {"categories": []})
    assert len(load_detections(tmp_path, split="train").data) == 2
    assert "/valid/" in load_detections(tmp_path, split="valid").data[0]
    with pytest.raises(ValueError, match=r"has 0 JSON files of COCO of split='test'.*untrain.json"):
        load_detections(tmp_path, split="test")
    with pytest.raises(ValueError, match=r"has 3 JSON files of COCO; pass the path of one"):
        load_detections(tmp_path)
    with pytest.raises(ValueError, match=r"split='train' needs a folder, but .*train.json is a"):
        load_detections(tmp_path / "annotations" / "instances_train.json", split="train")


def test_crowds_and_boxes_without_area_are_left_out_with_one_warning(path):
    crowd = BOXES[1] | {"iscrowd": 1, "segmentation": {"counts": [1], "size": [8, 10]}}
    flat = BOXES[0] | {"bbox": [5, 5, 0, 2]}
    write(path, coco(annotations=[crowd, BOXES[2], flat, crowd]))
    message = (
        r"^3 boxes were left out: 1 without an area \(the first: .*boxes.json, annotations\[2\]\) "
        r"and 2 around crowds \(the first: .*boxes.json, annotations\[0\]\)\.$"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        data = load_detections(path)
    assert len(caught) == 1
    assert [len(row) for row in data.target] == [0, 1, 0]


def test_a_class_that_is_named_twice(path):
    # Roboflow also writes the group of the classes as a class
    write(path, coco(categories=[*CLASSES, {"id": 0, "name": "cell", "supercategory": "none"}]))
    assert load_detections(path).target_names == ["spot", "cell", "none"]


def changed(rows, index, **values):
    return [row | values if i == index else row for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a JSON file"),
        ("[" * 10**5, "is not a JSON file"),
        ([], r"is not COCO: \[\] is not an object"),
        ({"images": []}, "the key 'categories' is missing"),
        (coco(images=[]), "has no images"),
        (coco(images=changed(IMAGES, 1, id=20)), r"images\[1\]: id=20 is also in .*images\[0\]"),
        (coco(images=changed(IMAGES, 1, id=True)), r"id=True is not an integer or a string"),
        (coco(images=changed(IMAGES, 1, file_name=3)), r"images\[1\] .* file_name=3 is not a str"),
        (coco(images=changed(IMAGES, 2, file_name="a.png")), r"images\[2\]: the image .*images\[1"),
        (
            coco(images=changed(IMAGES, 2, file_name="no.png")),
            r"images\[2\]: .*no.png' does not ex",
        ),
        (coco(images=changed(IMAGES, 2, file_name="")), r"images\[2\]: the path is empty"),
        (
            coco(images=changed(IMAGES, 2, file_name="../a.png")),
            r"images\[2\]: .*leaves the folder",
        ),
        (coco(images=changed(IMAGES, 0, file_name="/etc/x")), r"images\[0\]: .*'/etc/x'"),
        (coco(images=changed(IMAGES, 0, width=9)), r"images\[0\]: .* stated as 9 x 8, .* 10 x 8"),
        (coco(images=changed(IMAGES, 0, width=None)), r"images\[0\], width and height: None is"),
        (coco(categories=changed(CLASSES, 1, id=7)), r"categories\[1\]: id=7 is also in"),
        (coco(categories=changed(CLASSES, 1, name=None)), r"categories\[1\]: None is not the name"),
        (coco(annotations=changed(BOXES, 1, image_id=1)), r"annotations\[1\]: image_id=1 is not"),
        (coco(annotations=changed(BOXES, 1, category_id=1)), r"category_id=1 is not the id of any"),
        (coco(annotations=changed(BOXES, 1, iscrowd="0")), r"annotations\[1\]: iscrowd='0' must"),
        (coco(annotations=changed(BOXES, 1, bbox=[1, 2, 3])), r"bbox=\[1, 2, 3\] must have 4"),
        (coco(annotations=changed(BOXES, 1, bbox=[1, 2, -3, 4])), r"the box x0=1, y0=2, x1=-2"),
        (coco(annotations=changed(BOXES, 1, bbox=[1, 2, 3, True])), r"bbox: True is not a number"),
        (coco(annotations=changed(BOXES, 1, bbox=[1, 2, 3, np.nan])), r"bbox: nan is not a finite"),
        (
            coco(annotations=changed(BOXES, 1, bbox=[1, 2, 3, 10**400])),
            r"bbox: 10+\.+0+ is not a number",
        ),
        (coco(annotations=changed(BOXES, 1, bbox=[1, 2, 1e300, 1])), r"must be finite as float32"),
        (coco(annotations=changed(BOXES, 1, bbox=None)), r"bbox=None is not a list"),
    ],
)
def test_wrong_files(path, content, message):
    write(path, content)
    with pytest.raises((ValueError, FileNotFoundError), match=rf"boxes\.json.*{message}"):
        load_detections(path)


def test_an_image_that_exists_outside_is_not_read(path):
    inner = path.parent / "inner"
    write(
        inner / "boxes.json", coco(images=[IMAGES[0] | {"file_name": "../b.png"}], annotations=[])
    )
    with pytest.raises(ValueError, match=r"images\[0\]: '../b.png' leaves the folder"):
        load_detections(inner / "boxes.json")
    write(inner / "boxes.json", coco(images=[IMAGES[0]], annotations=[]))
    (inner / "b.png").symlink_to(path.parent / "b.png")
    with pytest.raises(ValueError, match=r"images\[0\]: 'b.png' leaves the folder"):
        load_detections(inner / "boxes.json")


def test_a_pipe_is_not_waited_for(path):
    os.mkfifo(path.parent / "pipe.json")
    with pytest.raises(ValueError, match="is not a regular file"):
        load_detections(path.parent)


numbers = st.floats(0, 1e4, width=16)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1]), st.sampled_from(CLASSES), numbers, numbers), max_size=5
    )
)
def test_what_is_written_is_read(objects):
    boxes = [
        {"image_id": image, "category_id": c["id"], "bbox": [x, y, 1 + y, 0.5 + x]}
        for image, c, x, y in objects
    ]
    images = [{"id": i, "file_name": f"{i}.png"} for i in (1, 0)]
    with TemporaryDirectory() as folder:
        for image in images:
            write(Path(folder) / image["file_name"], size=(1, 1))
        write(Path(folder) / "boxes.json", coco(images, boxes))
        data = load_detections(folder)
    for image, found in zip((1, 0), data.target, strict=True):
        kept = [(c["name"], x, y, x + 1 + y, y + 0.5 + x) for i, c, x, y in objects if i == image]
        assert found["label"].tolist() == [name for name, *_ in kept]
        assert box_array(found).tolist() == [list(np.float32(edges)) for _, *edges in kept]
