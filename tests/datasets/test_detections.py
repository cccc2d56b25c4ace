"""load_detections: the choice of the format, and the checks of its parameters."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sklearn_dl.datasets import load_detections

COCO = {
    "images": [{"id": 1, "file_name": "a.png"}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": [4, 2, 2, 4]}],
}
VOC = (
    "<annotation><object><name>cat</name><bndbox><xmin>4</xmin><ymin>2</ymin><xmax>6</xmax>"
    "<ymax>6</ymax></bndbox></object></annotation>"
)
# the annotations of one image with a box in each format
FILES = {
    "coco": {"boxes.json": json.dumps(COCO)},
    "voc": {"a.xml": VOC},
    "yolo": {"a.txt": "0 0.5 0.5 0.2 0.5", "classes.txt": "cat"},
}


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (10, 8)).save(tmp_path / "a.png")
    # files that tools and people leave beside annotations
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "README.txt").write_text("Cats")
    (tmp_path / "tool.yaml").write_text("version: 3")
    return tmp_path


def write(folder, format):
    for name, content in FILES[format].items():
        (folder / name).write_text(content)


@pytest.mark.parametrize("format", FILES)
def test_all_formats_give_the_same(folder, format):
    write(folder, format)
    for choice in ("auto", format):
        data = load_detections(folder, format=choice)
        assert data.target[0].tolist() == [(4, 2, 6, 6, 1, "cat")]
        assert data.target_names == ["cat"]
    other = "voc" if format == "yolo" else "yolo"
    with pytest.raises(ValueError, match="has no"):
        load_detections(folder, format=other)


def test_several_formats(folder):
    for format in FILES:
        write(folder, format)
    message = (
        rf"{folder} has annotations of several formats. Pass one of them: format='coco' "
        rf"\({folder}/boxes.json\); format='voc' \({folder}\); format='yolo' \({folder}/a.txt\)\."
    )
    with pytest.raises(ValueError, match=message):
        load_detections(folder)
    assert len(load_detections(folder, format="coco").data) == 1


def test_no_format(folder):
    message = r"has no annotations: .* It has 4 entries: \['README.txt', 'a.png', 'notes.json'"
    with pytest.raises(ValueError, match=message):
        load_detections(folder)
    with pytest.raises(FileNotFoundError, match="missing' does not exist"):
        load_detections(folder / "missing")
    with pytest.raises(ValueError, match=r"README.txt is a file. Pass a JSON file \(COCO\)"):
        load_detections(folder / "README.txt")
    with pytest.raises(ValueError, match=r"README.txt is a file. Pass the folder of the XML"):
        load_detections(folder / "README.txt", format="voc")


def test_parameters_that_do_not_apply(folder):
    write(folder, "voc")
    with pytest.raises(ValueError, match=r"classes=.* does not apply to the format 'voc'"):
        load_detections(folder, classes=["cat"])
    with pytest.raises(ValueError, match=r"images=.* does not apply to the format 'yolo'"):
        load_detections(folder, format="yolo", images=folder)
    with pytest.raises(FileNotFoundError, match="images='missing' is not a folder"):
        load_detections(folder, images="missing")


@pytest.mark.parametrize(
    "wrong", [{"format": "csv"}, {"split": 1}, {"images": 1}, {"classes": 1}, {"return_X_y": 2}]
)
def test_wrong_parameters(folder, wrong):
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of load_detections"):
        load_detections(folder, **wrong)


@st.composite
def damaged(draw, content):
    """The content of a file with some bytes replaced."""
    content = content.encode()
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(start + 9, len(content))))
    other = draw(st.binary(max_size=9) | st.sampled_from([b"-1", b"1e999", b"nan", b"0", b"../"]))
    return content[:start] + other + content[end:]


@pytest.mark.parametrize(
    ("format", "name"),
    [(format, name) for format, files in FILES.items() for name in files] + [("yolo", "data.yaml")],
)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(format, name, data):
    files = FILES[format] | {"data.yaml": "names: [cat, dog]\nnc: 2\n"}
    content = data.draw(damaged(files[name]))
    with TemporaryDirectory() as folder:
        Image.new("RGB", (10, 8)).save(Path(folder) / "a.png")
        for other in FILES[format]:
            (Path(folder) / other).write_text(files[other])
        (Path(folder) / name).write_bytes(content)
        try:
            found, refused = load_detections(folder, format=format), None
        except (FileNotFoundError, ValueError, UserWarning) as error:
            found, refused = None, error
        if refused is None:
            assert [Path(path).name for path in found.data] == ["a.png"]
            assert len(found.target) == 1
        else:
            assert folder in str(refused)
