"""load_detections on YOLO: images, boxes, and malformed files."""

import os
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sklearn_dl.datasets import load_detections
from sklearn_dl.metrics._boxes import box_array

BOX = "1 0.5 0.5 0.2 0.5"  # of an image of 10 x 8: 4, 2, 6, 6
NAMES = "names: [cat, dog]\n"


def write(path, content=None, size=(10, 8), **options):
    """Write a text, or an image of a size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_text(content)
    else:
        Image.new("RGB", size).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """images and labels of two splits: a.png and b.png, and c.png."""
    for name in ("train/a", "train/b", "val/c"):
        write(tmp_path / "images" / f"{name}.png")
    write(tmp_path / "labels" / "train" / "a.txt", f"{BOX}\n0 0.25 0.25 0.5 0.5\n")
    write(tmp_path / "labels" / "val" / "c.txt", "\n")
    write(tmp_path / "data.yaml", f"train: images/train\nval: [images/val]\n{NAMES}nc: 2\n")
    return tmp_path


def found(data):
    """The name of each image, and its boxes."""
    return {
        Path(path).name: [
            (row["label"], *map(float, box)) for row, box in zip(y, box_array(y), strict=True)
        ]
        for path, y in zip(data.data, data.target, strict=True)
    }


def test_boxes_of_each_image(folder):
    data = load_detections(folder)
    expected = {"a.png": [("dog", 4, 2, 6, 6), ("cat", 0, 0, 5, 4)], "b.png": [], "c.png": []}
    assert found(data) == expected
    assert data.data[0] == os.path.realpath(folder / "images" / "train" / "a.png")
    assert data.target_names == ["cat", "dog"]
    assert {row.dtype for row in data.target} == {data.target[0].dtype}


def test_the_yaml_file_itself(folder):
    (folder / "data.yaml").rename(folder / "pets.yaml")
    write(folder / "other.yml", "names: [a]")
    with pytest.raises(ValueError, match=r"several YAML files .*: \['other.yml', 'pets.yaml'\]"):
        load_detections(folder)
    assert set(found(load_detections(folder / "pets.yaml", split="val"))) == {"c.png"}
    write(folder / "data.yaml", NAMES)
    assert load_detections(folder).target_names == ["cat", "dog"]


@pytest.mark.parametrize(
    "names",
    [
        "names:\n  1: dog\n  0: 'no'\n",
        "names:\n- no\n- dog\n",
        "nc: 2\nkpt_shape: [0, 3]\n'names' : [no, dog]\n",
    ],
)
def test_how_classes_are_named(folder, names):
    write(folder / "data.yaml", names)
    assert load_detections(folder).target_names == ["no", "dog"]


@pytest.mark.parametrize("name", ["classes.txt", "labels/classes.txt", "obj.names"])
def test_lists_of_classes(folder, name):
    (folder / "data.yaml").unlink()
    with pytest.raises(ValueError, match=r"has no class names.* Pass them as `classes`"):
        load_detections(folder)
    assert load_detections(folder, classes=np.array(["x", "y"])).target_names == ["x", "y"]
    write(folder / name, "big cat\r\ndog\n\n")
    assert load_detections(folder).target_names == ["big cat", "dog"]
    write(folder / name, "cat\n\ndog\n")
    with pytest.raises(ValueError, match=r"classes.txt, line 2: it is empty|names, line 2"):
        load_detections(folder)


def test_text_files_beside_the_images(tmp_path):
    for inner in (".", "images"):
        write(tmp_path / inner / "a.JPG")
        write(tmp_path / inner / "a.txt", BOX)
        write(tmp_path / inner / "notes.txt", "taken in 2024")
        write(tmp_path / inner / "classes.txt", "cat\ndog")
        assert found(load_detections(tmp_path / inner)) == {"a.JPG": [("dog", 4, 2, 6, 6)]}
    assert found(load_detections(tmp_path)) == {"a.JPG": [("dog", 4, 2, 6, 6)]}


@pytest.mark.parametrize("base", ["", "path: ../other\n", "path: /content/data\n", "path: .\n"])
@pytest.mark.parametrize("train", ["../train/images", "train/images", "[train/images]"])
def test_the_layout_of_roboflow(tmp_path, base, train):
    for split in ("train", "valid"):
        write(tmp_path / split / "images" / f"{split}.png")
        write(tmp_path / split / "labels" / f"{split}.txt", BOX)
    write(tmp_path / "data.yaml", f"{base}train: {train}\nval: ../valid/images\n{NAMES}")
    assert set(found(load_detections(tmp_path, split="train"))) == {"train.png"}
    assert set(found(load_detections(tmp_path))) == {"train.png", "valid.png"}
    message = r"split='test' is not a split of .*data.yaml. It has these: \['train', 'val'\]"
    with pytest.raises(ValueError, match=message):
        load_detections(tmp_path, split="test")


def test_a_path_inside_the_folder(tmp_path):
    write(tmp_path / "pets" / "images" / "a.png")
    write(tmp_path / "pets" / "labels" / "a.txt", BOX)
    write(tmp_path / "data.yaml", f"path: pets\ntrain: images\n{NAMES}")
    assert len(load_detections(tmp_path, split="train").target[0]) == 1


@pytest.mark.parametrize("split", ["../secret", "/etc", "no", "''"])
def test_a_split_outside_the_folder(folder, tmp_path_factory, split):
    write(folder.parent / "secret" / "a.png")
    write(folder / "data.yaml", f"train: {split}\n{NAMES}")
    with pytest.raises((FileNotFoundError, ValueError), match=r"data.yaml"):
        load_detections(folder, split="train")


def test_splits_without_a_yaml_file(folder):
    (folder / "data.yaml").unlink()
    write(folder / "classes.txt", "cat\ndog")
    assert set(found(load_detections(folder, split="val"))) == {"c.png"}
    with pytest.raises(FileNotFoundError, match=r"split='test': .* has none of \['images/test'"):
        load_detections(folder, split="test")


def test_a_split_that_lists_images(folder):
    write(folder / "data.yaml", f"train: lists/train.txt\n{NAMES}")
    write(folder / "lists" / "train.txt", "../images/val/c.png\n\n./../images/train/a.png\n")
    data = load_detections(folder, split="train")
    assert found(data) == {"c.png": [], "a.png": [("dog", 4, 2, 6, 6), ("cat", 0, 0, 5, 4)]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("../../secret.png", "leaves the folder"),
        ("/etc/passwd", "leaves the folder"),
        ("../images/train/no.png", "does not exist"),
        ("../images/train/b.png", "is also the image of .*train.txt, line 1"),
        ("../data.yaml", "No image of|cannot read"),
    ],
)
def test_wrong_lists_of_images(folder, line, message):
    write(folder / "data.yaml", f"train: lists/train.txt\n{NAMES}")
    write(folder / "lists" / "train.txt", f"../images/train/b.png\n{line}\n")
    with pytest.raises((FileNotFoundError, ValueError), match=f"train.txt, line 2: .*{message}"):
        load_detections(folder, split="train")


def test_boxes_are_parts_of_the_rotated_image(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "images" / "train" / "a.png").unlink()
    write(folder / "images" / "train" / "a.jpg", exif=exif)
    assert found(load_detections(folder))["a.jpg"][0] == pytest.approx(("dog", 3.2, 2.5, 4.8, 7.5))


def test_polygons_become_boxes(folder):
    lines = ["0 0.1 0.5 0.5 0.25 0.9 0.5", BOX, "1 0 0 1 0 1 1 0 1"]
    write(folder / "labels" / "train" / "a.txt", "\n".join(lines))
    boxes = found(load_detections(folder))["a.png"]
    assert boxes[0] == pytest.approx(("cat", 1, 2, 9, 4))
    assert boxes[1:] == [("dog", 4, 2, 6, 6), ("dog", 0, 0, 10, 8)]


def test_keypoints_are_left_aside(folder):
    write(folder / "data.yaml", f"{NAMES}kpt_shape: [3, 2]\n")
    write(folder / "labels" / "train" / "a.txt", f"{BOX} 0.1 0.1 0.9 0.9 0 0")
    assert found(load_detections(folder))["a.png"] == [("dog", 4, 2, 6, 6)]
    write(folder / "labels" / "train" / "a.txt", BOX)
    with pytest.raises(ValueError, match=r"line 1 has 5 numbers, .* and 6 of the keypoints"):
        load_detections(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{BOX} 0.9", "has 6 numbers, but needs 5"),
        (f"{BOX} 0.9 0.9 0.9", "has 8 numbers, but needs 5"),
        ("1", "has 1 number, but"),
        ("2 0.5 0.5 0.2 0.5", "the class 2 is not the index of one of the 2 class names"),
        ("-1 0.5 0.5 0.2 0.5", "the class -1 is not"),
        ("0.5 0.5 0.5 0.2 0.5", "the class 0.5 is not"),
        ("dog 0.5 0.5 0.2 0.5", "'dog' is not a number"),
        ("1 nan 0.5 0.2 0.5", "'nan' is not a finite number"),
        ("1 5 4 2 4", "values outside 0 to 1"),
        ("1 0.5 0.5 -0.005 0.5", r"the box x0=0.5025, .* must be finite"),
        ("1,0.5,0.5,0.2,0.5", "is not a number"),
    ],
)
def test_wrong_lines(folder, line, message):
    write(folder / "labels" / "train" / "a.txt", f"{BOX}\n\n{line}\n")
    with pytest.raises(ValueError, match=rf"labels/train/a\.txt, line 3.*{message}"):
        load_detections(folder)


def test_boxes_without_area_are_left_out_with_one_warning(folder):
    write(folder / "labels" / "train" / "b.txt", f"0 0.5 0.5 0 0.5\n{BOX}\n0 0 0 0 0")
    message = r"^2 boxes were left out: 2 without an area \(the first: .*train/b.txt, line 1\)\.$"
    with pytest.warns(UserWarning, match=message):
        data = load_detections(folder)
    assert found(data)["b.png"] == [("dog", 4, 2, 6, 6)]


def test_a_folder_without_text_files(folder):
    write(folder / "images" / "test" / "d.png")
    with pytest.raises(ValueError, match=r"No image of .*images/test has a text file"):
        load_detections(folder)


@pytest.mark.parametrize("name", ["train/d", "test/d", "d"])
def test_a_text_file_without_an_image(folder, name):
    write(folder / "labels" / f"{name}.txt", BOX)
    with pytest.raises(FileNotFoundError, match=rf"{name}\.txt describes boxes, but its image"):
        load_detections(folder)
    assert len(load_detections(folder, split="val").data) == 1


def test_two_images_with_one_text_file(folder):
    write(folder / "images" / "train" / "a.jpg")
    with pytest.raises(ValueError, match=r"a.txt could describe each of \['a.jpg', 'a.png'\]"):
        load_detections(folder)


@pytest.mark.parametrize("inner", ["images/train/a.png", "labels/train/a.txt", "data.yaml"])
def test_a_link_that_leaves_the_folder(folder, tmp_path_factory, inner):
    outside = tmp_path_factory.mktemp("outside") / Path(inner).name
    (folder / inner).rename(outside)
    (folder / inner).symlink_to(outside)
    with pytest.raises(ValueError, match="leaves the folder"):
        load_detections(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nnames: [cat", r"line 2: not YAML"),
        ("names: [" + "[" * 10**5, "cannot be read as YAML"),
        ("names: \0", "cannot be read as YAML"),
        ("- names: a", "must have the key `names`"),
        ("names: cat", "names='cat' is not a list of names"),
        ("names: []", r"names=\[\] is not a list"),
        ("names: {0: a, 2: b}", r"keys of `names` must be 0, 1, .* \['0', '2'\]"),
        ("names: [cat, dog, cat]", r"names\[2\]: 'cat' is also the name of the class 0"),
        ("names: [cat, [dog]]", r"names\[1\]: \['dog'\] is not the name of a class"),
        ("names: &a [*a]", "not YAML: found unconstructable recursive node"),
        (f"{NAMES}nc: 3", "nc='3', but there are 2 names"),
        (f"{NAMES}kpt_shape: [a, 2]", "kpt_shape: 'a' is not a number"),
        (f"{NAMES}kpt_shape: [1.e+300, 2]", "kpt_shape: .* is not a shape"),
        (f"{NAMES}kpt_shape: 3", "kpt_shape: '3' is not a shape"),
    ],
)
def test_wrong_yaml_files(folder, content, message):
    write(folder / "data.yaml", content)
    with pytest.raises(ValueError, match=rf"data\.yaml.*{message}"):
        load_detections(folder / "data.yaml")


@pytest.mark.slow
def test_names_that_multiply(folder):
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{f'*a{i - 1},' * 9}]" for i in range(1, 40))]
    write(folder / "data.yaml", "\n".join([*lines, "names: *a39"]))
    with pytest.raises(ValueError, match=r"names\[0\]: .* is not the name of a class"):
        load_detections(folder)


def test_a_large_yaml_file_is_refused(folder):
    write(folder / "data.yaml", NAMES + "#" * 2**18)
    with pytest.raises(ValueError, match=r"data\.yaml is larger than 262,144 bytes, the limit"):
        load_detections(folder)


def test_without_pyyaml(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ImportError, match=r"Reading .*data.yaml needs yaml: pip install .*vision"):
        load_detections(folder)


values = st.floats(0, 1).map(lambda value: round(value, 6))


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from([0, 1]), values, values, values, values), max_size=4))
def test_what_is_written_is_read(rows):
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # boxes without an area
        write(Path(folder) / "a.png", size=(640, 480))
        lines = [f"{c} {x:.6f} {y:.6f} {w:.6f} {h:.6f}" for c, x, y, w, h in rows]
        write(Path(folder) / "a.txt", "\n".join(lines))
        data = load_detections(folder, classes=["cat", "dog"])
    kept = [row for row in rows if row[3] and row[4]]
    assert data.target[0]["label"].tolist() == [["cat", "dog"][c] for c, *_ in kept]
    expected = [
        [(x - w / 2) * 640, (y - h / 2) * 480, (x + w / 2) * 640, (y + h / 2) * 480]
        for _, x, y, w, h in kept
    ]
    boxes = box_array(data.target[0])
    np.testing.assert_allclose(boxes, np.reshape(expected, (-1, 4)), rtol=1e-6, atol=1e-6)
