"""load_detections on Pascal VOC: images, boxes, and malformed files."""

import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sklearn_dl.datasets import load_detections
from sklearn_dl.metrics import make_detections
from sklearn_dl.metrics._boxes import box_array

SHARED = Path(os.environ.get("SKLEARN_DL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
BCCD = SHARED / "data" / "boxes" / "bccd"
CELL = ("cell", (1, 2, 8, 6.5))
SPOT = ("spot", (3, 0, 10, 8))


def xml(objects=(), filename="a.png", size=(10, 8), extra=""):
    lines = [f"<filename>{escape(filename)}</filename>" if filename else ""]
    if size:
        lines.append(f"<size><width>{size[0]}</width><height>{size[1]}</height></size>")
    for label, (x0, y0, x1, y1) in objects:
        lines.append(
            f"<object><name>{escape(label)}</name><part><bndbox><xmin>?</xmin></bndbox></part>"
            f"<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>"
            "</object>"
        )
    return f"<annotation>{''.join(lines)}{extra}</annotation>"


def write(path, content=None, size=(10, 8), **options):
    """Write a text, or an image of a size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_text(content)
    else:
        Image.new("RGB", size).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """a.png with two objects, b.png without."""
    write(tmp_path / "JPEGImages" / "a.png")
    write(tmp_path / "JPEGImages" / "b.png")
    write(tmp_path / "JPEGImages" / "unlabelled.png")
    write(tmp_path / "Annotations" / "b.xml", xml(filename="b.png"))
    write(tmp_path / "Annotations" / "a.xml", xml([SPOT, CELL]))
    return tmp_path


def test_boxes_of_each_image(folder):
    data = load_detections(folder)
    images = os.path.realpath(folder / "JPEGImages")
    assert data.data.tolist() == [f"{images}/a.png", f"{images}/b.png"]
    assert data.target_names == ["cell", "spot"]
    assert [len(row) for row in data.target] == [2, 0]
    expected = make_detections([SPOT[1], CELL[1]], ["spot", "cell"])
    np.testing.assert_array_equal(data.target[0], expected)
    assert data.target[1].dtype == data.target[0].dtype == expected.dtype


def test_data_and_target_alone(folder):
    X, y = load_detections(str(folder), format="voc", return_X_y=True)
    assert [Path(path).name for path in X] == ["a.png", "b.png"]
    assert [len(row) for row in y] == [2, 0]


@pytest.mark.parametrize("inner", [("annotations", "images"), (".", "."), ("Annotations", ".")])
def test_other_names_of_folders(tmp_path, inner):
    annotations, images = inner
    write(tmp_path / images / "a.jpg")
    write(tmp_path / annotations / "a.xml", xml([CELL], "a.jpg"))
    assert len(load_detections(tmp_path).target[0]) == 1


def test_images_in_another_folder(folder):
    other = folder / "other"
    (folder / "JPEGImages").rename(other)
    with pytest.raises(FileNotFoundError, match="Pass their folder as `images`"):
        load_detections(folder / "Annotations")
    data = load_detections(folder / "Annotations", images=other)
    assert data.data[0] == os.path.realpath(other / "a.png")


def test_files_in_inner_folders(tmp_path):
    for name in ("x/a", "y/a"):
        write(tmp_path / "Annotations" / f"{name}.xml", xml([CELL]))
        write(tmp_path / "JPEGImages" / f"{name}.png")
    write(tmp_path / "ImageSets" / "Main" / "last.txt", "y/a\n")
    assert [path[-7:] for path in load_detections(tmp_path).data] == ["x/a.png", "y/a.png"]
    assert [path[-7:] for path in load_detections(tmp_path, split="last").data] == ["y/a.png"]


def test_a_split_in_its_order(folder):
    write(folder / "ImageSets" / "Main" / "train.txt", "\ufeffb\r\n\n a\n")
    data = load_detections(folder, split="train")
    assert [Path(path).name for path in data.data] == ["b.png", "a.png"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a\nb\na\n", r"train.txt, line 3: 'a' is already in line 1"),
        ("a\n\nc\n", r"train.txt, line 3: .*c.xml does not exist"),
        ("a -1\n", r"train.txt, line 1: .*a -1.xml does not exist"),
        ("../JPEGImages/a\n", r"train.txt, line 1: .*xml does not exist"),
        ("\n", "train.txt is empty"),
    ],
)
def test_wrong_splits(folder, lines, message):
    write(folder / "ImageSets" / "Main" / "train.txt", lines)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_detections(folder, split="train")


def test_a_split_that_is_not_there_or_not_text(folder):
    write(folder / "ImageSets" / "Main" / "train.txt", "a")
    with pytest.raises(FileNotFoundError, match=r"split='val'.*There are these splits: \['train'"):
        load_detections(folder, split="val")
    (folder / "ImageSets" / "Main" / "train.txt").write_bytes(b"b\na\xff")
    with pytest.raises(ValueError, match=r"train.txt, line 2: the byte 0xff is not UTF-8"):
        load_detections(folder, split="train")


@pytest.mark.parametrize("filename", ["a", "old.png", "", "C:\\photos\\a.png", "./a.png"])
def test_a_renamed_image_is_found_by_the_name_of_its_file(folder, filename):
    write(folder / "Annotations" / "a.xml", xml([CELL], filename))
    assert Path(load_detections(folder).data[0]).name == "a.png"


def test_the_stated_name_decides_between_extensions(folder):
    write(folder / "JPEGImages" / "a.jpg")
    assert Path(load_detections(folder).data[0]).name == "a.png"
    write(folder / "Annotations" / "a.xml", xml([CELL], "a"))
    with pytest.raises(ValueError, match=r"a.xml: it is not clear .*'a.jpg', 'a.png'"):
        load_detections(folder)


def test_a_stated_name_with_another_stem(folder):
    write(folder / "Annotations" / "a.xml", xml([CELL], "unlabelled.png"))
    with pytest.raises(ValueError, match=r"a.xml: it is not clear .*'a.png', 'unlabelled.png'"):
        load_detections(folder)
    (folder / "JPEGImages" / "a.png").unlink()
    assert Path(load_detections(folder).data[0]).name == "unlabelled.png"


def test_an_image_with_two_files(folder):
    write(folder / "Annotations" / "c.xml", xml([CELL], "b.png"))
    with pytest.raises(ValueError, match=r"c.xml: the image .*b.png' is also the image of .*b.xml"):
        load_detections(folder)


def test_a_missing_image(folder):
    (folder / "JPEGImages" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"b.xml: .* has no image 'b.png' or b\.\*"):
        load_detections(folder)


@pytest.mark.parametrize("filename", ["../secret.png", "/secret.png", "x/../../secret.png"])
def test_a_name_that_leaves_the_folder(folder, filename):
    write(folder / "secret.png")
    write(folder / "Annotations" / "a.xml", xml([CELL], filename))
    with pytest.raises(ValueError, match=r"a.xml, filename: .*secret.png' leaves the folder"):
        load_detections(folder)


@pytest.mark.parametrize("inner", ["JPEGImages/a.png", "Annotations/a.xml"])
def test_a_link_that_leaves_the_folder(folder, tmp_path_factory, inner):
    outside = tmp_path_factory.mktemp("outside") / Path(inner).name
    (folder / inner).rename(outside)
    (folder / inner).symlink_to(outside)
    with pytest.raises(ValueError, match="leaves the folder"):
        load_detections(folder)


def test_links_in_a_circle(folder):
    (folder / "Annotations" / "again").symlink_to(folder / "Annotations")
    with pytest.raises(ValueError, match=r"again is a symbolic link to a folder .* already read"):
        load_detections(folder)


def test_the_size_is_that_of_the_rotated_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path / "a.jpg", exif=exif)
    write(tmp_path / "a.xml", xml([CELL], "a.jpg", size=(8, 10)))
    assert len(load_detections(tmp_path).target) == 1
    write(tmp_path / "a.xml", xml([CELL], "a.jpg", size=(10, 8)))
    with pytest.raises(ValueError, match=r"a.xml: .*a.jpg' is stated as 10 x 8, .* has 8 x 10"):
        load_detections(tmp_path)
    write(tmp_path / "a.xml", xml([CELL], "a.jpg", size=None))
    assert len(load_detections(tmp_path).target) == 1


def test_a_file_that_is_not_an_image(folder):
    write(folder / "JPEGImages" / "a.png", "text")
    with pytest.raises(ValueError, match=r"a.xml: cannot read .*a.png"):
        load_detections(folder)


def test_boxes_without_area_are_left_out_with_one_warning(folder):
    flat = [("cell", (2, 2, 2, 5)), ("cell", (2, 5, 3, 5)), ("cell", (0, 0, 0, 0))]
    write(folder / "Annotations" / "a.xml", xml([flat[0], CELL]))
    # equal as float32
    tiny = ("cell", (5, 5, 5 + 1e-9, 8))
    write(folder / "Annotations" / "b.xml", xml([*flat[1:], tiny], "b.png"))
    message = r"^4 boxes were left out: 4 without an area \(the first: .*a.xml, object\[0\]\)\.$"
    with pytest.warns(UserWarning, match=message) as caught:
        data = load_detections(folder)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(data.target[0], make_detections([CELL[1]], ["cell"]))
    assert len(data.target[1]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (xml([("cell", (4, 1, 3, 2))]), r"object\[0\]: the box x0=4, .* must be finite"),
        (xml([CELL, ("cell", (0, 0, 1e39, 2))]), r"object\[1\]: the box .* finite as float32"),
        (xml([("cell", (0, "nan", 1, 2))]), r"object\[0\], ymin: 'nan' is not a finite"),
        (xml([("cell", (0, 0, "inf", 2))]), r"object\[0\], xmax: 'inf' is not a finite"),
        (xml([("cell", (0, 0, "1_0", 2))]), r"object\[0\], xmax: '1_0' is not a number"),
        (xml([("cell", (0, 0, "", 2))]), r"object\[0\], xmax: None is not a number"),
        (xml([(" ", (0, 0, 1, 2))]), r"object\[0\]: None is not the name of a class"),
        (xml([("a\tb", (0, 0, 1, 2))]), r"object\[0\]: the name 'a\\tb' contains a control"),
        (xml([("a" * 201, (0, 0, 1, 2))]), r"object\[0\]: .* has 201 characters"),
        (xml(extra="<object><name>a</name></object>"), r"object\[0\] has no <bndbox>"),
        (xml(size=("?", 8)), r"size, width: '\?' is not a number"),
        (xml(size=(0, 0)), r"is stated as 0 x 0"),
        ("<annotation>\n<object>\n</annotation>", r"line 3: not XML: mismatched tag"),
        ("", r"line 1: not XML"),
        ("<html></html>", r"the root is <html>"),
        ('<?xml version="1.0" encoding="no-such"?><annotation/>', "cannot be read as XML"),
        ("<annotation>&unknown;</annotation>", "not XML: undefined entity"),
    ],
)
def test_wrong_files(folder, content, message):
    write(folder / "Annotations" / "a.xml", content)
    with pytest.raises(ValueError, match=rf"a\.xml.*{message}"):
        load_detections(folder)


@pytest.mark.parametrize(
    "declared",
    [
        "<!DOCTYPE annotation>",
        '<!DOCTYPE annotation [<!ENTITY a "b">]>',
        '<!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE annotation SYSTEM "http://localhost/a.dtd">',
        "<!DOCTYPE annotation ["
        + '<!ENTITY e0 "haha">'
        + "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 30))
        + "]>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused(folder, declared, encoding):
    content = declared + xml([CELL], extra="&e29;" if "e29" in declared else "")
    (folder / "Annotations" / "a.xml").write_bytes(content.encode(encoding))
    with pytest.raises(ValueError, match=r"a\.xml cannot be read as XML: it has a DOCTYPE"):
        load_detections(folder)


def test_a_large_file_is_refused(folder):
    write(folder / "Annotations" / "a.xml", xml(extra=" " * 2**22))
    with pytest.raises(ValueError, match=r"a\.xml is larger than 4,194,304 bytes, the limit"):
        load_detections(folder)


def test_deep_nesting(folder):
    write(folder / "Annotations" / "a.xml", xml([CELL], extra="<a>" * 10**5 + "</a>" * 10**5))
    assert len(load_detections(folder).target[0]) == 1


def test_a_folder_without_files(tmp_path):
    with pytest.raises(ValueError, match="no XML files"):
        load_detections(tmp_path, format="voc")


edges = st.tuples(*[st.floats(0, 1e4, width=32)] * 4).map(
    lambda e: (min(e[0], e[2]), min(e[1], e[3]), max(e[0], e[2]), max(e[1], e[3]))
)
# XML cannot hold control characters, and spaces around a name are not part of it
names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=9)


@pytest.mark.slow
@given(st.lists(st.tuples(names, edges), max_size=4))
def test_what_is_written_is_read(objects):
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # boxes without an area
        write(Path(folder) / "a.png")
        (Path(folder) / "a.xml").write_text(xml(objects), encoding="utf-8")
        data = load_detections(folder)
    kept = [(label, e) for label, e in objects if e[0] < e[2] and e[1] < e[3]]
    assert data.target[0]["label"].tolist() == [label for label, _ in kept]
    assert box_array(data.target[0]).tolist() == [list(e) for _, e in kept]
    assert data.target_names == sorted({label for label, _ in objects})


@pytest.mark.skipif(not BCCD.is_dir(), reason=f"{BCCD} does not exist")
def test_blood_cells():
    with pytest.warns(UserWarning, match="^2 boxes were left out: 2 without an area"):
        data = load_detections(BCCD, split="trainval")
    assert data.target_names == ["Platelets", "RBC", "WBC"]
    assert len(data.data) == len(data.target) == 292
    assert sum(map(len, data.target)) == 3941
    test = load_detections(BCCD, split="test")
    assert len(test.data) == 72
    assert not set(test.data) & set(data.data)
