"""detections_from_frame: a table with a row for each box."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_dl import DetectionScorer
from sklearn_dl.datasets import detections_from_frame
from sklearn_dl.metrics import make_detections
from sklearn_dl.metrics._boxes import BOX_FIELDS
from tests.vision.detection.detectors import ANCHORS, color_detector, squares

BOXES = {
    "image": ["b", "a", "b"],
    "label": ["cat", "dog", "zebra"],
    "x0": [1.5, 0.0, 2.0],
    "y0": [2.0, 0.0, 3.0],
    "x1": [4.0, 9.0, 6.0],
    "y1": [4.0, 8.0, 7.0],
}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


def changed(**columns):
    return pd.DataFrame(BOXES | columns)


def assert_rows(y, expected):
    assert y.dtype == object
    assert y.shape == (len(expected),)
    for found, row in zip(y, expected, strict=True):
        np.testing.assert_array_equal(found, row)


@pytest.mark.parametrize("library", FRAMES)
def test_boxes_of_each_image_in_order(library):
    y = detections_from_frame(FRAMES[library](BOXES), ["a", "empty", "b"])
    first = make_detections([[0, 0, 9, 8]], ["dog"])
    third = make_detections([[1.5, 2, 4, 4], [2, 3, 6, 7]], ["cat", "zebra"])
    assert_rows(y, [first, make_detections([], np.array([], "U5")), third])
    assert {row.dtype for row in y} == {third.dtype}


@pytest.mark.parametrize("library", FRAMES)
def test_other_columns(library):
    x, y, width, height = [1, 2], [3, 4], [5, 6], [7, 8]
    frame = {"file": [0, 0], "kind": [7, 8], "x": x, "y": y, "w": width, "h": height, "p": [0.5, 1]}
    found = detections_from_frame(
        FRAMES[library](frame | {"score": ["unused"] * 2}),
        range(1),
        image_column="file",
        label_column="kind",
        box_columns=["x", "y", "w", "h"],
        box_format="xywh",
        score_column="p",
    )
    assert_rows(found, [make_detections([[1, 3, 6, 10], [2, 4, 8, 12]], [7, 8], [0.5, 1])])


def test_scores_are_kept():
    y = detections_from_frame(changed(score=[0.25, 0.5, 0.75]), ["a", "b"])
    assert [row["score"].tolist() for row in y] == [[0.5], [0.25, 0.75]]


@pytest.mark.parametrize(
    "images",
    [
        ("a", "b"),
        np.array(["a", "b"]),
        np.array(["a", "b"], dtype=object),
        pd.Index(["a", "b"]),
        pd.Series(["a", "b"], index=[5, 5]),
        pl.Series(["a", "b"]),
        [Path("a"), Path("b")],
    ],
    ids=lambda images: type(images).__name__,
)
def test_what_stands_for_images(images):
    y = detections_from_frame(changed(), images)
    assert [row["label"].tolist() for row in y] == [["dog"], ["cat", "zebra"]]
    paths = changed(image=[Path(name) for name in BOXES["image"]])
    assert [len(row) for row in detections_from_frame(paths, images)] == [1, 2]


@pytest.mark.parametrize(
    "index",
    [
        pd.date_range("2024-01-01", periods=2),
        pd.MultiIndex.from_tuples([("x", 1), ("x", 2)]),
        pd.Index([1.5, 2]),
    ],
)
def test_an_index_of_any_type(index):
    frame = changed(image=index[[1, 0, 1]])
    y = detections_from_frame(frame, index)
    assert [row["label"].tolist() for row in y] == [["dog"], ["cat", "zebra"]]


@pytest.mark.parametrize("kind", [pd.Categorical, pl.Categorical, "string"])
def test_labels_of_other_types(kind):
    if kind is pl.Categorical:
        frame = pl.DataFrame(BOXES).with_columns(pl.col("label").cast(kind))
    else:
        frame = changed().astype({"label": "category" if kind is pd.Categorical else kind})
    y = detections_from_frame(frame, ["b", "a"])
    assert y[0]["label"].tolist() == ["cat", "zebra"]
    assert y[0]["label"].dtype == "U5"


@pytest.mark.parametrize("library", FRAMES)
def test_no_rows_and_no_images(library):
    empty = FRAMES[library]({name: values[:0] for name, values in BOXES.items()})
    nothing = make_detections([], np.array([], "U1"))
    assert_rows(detections_from_frame(empty, ["a", "b"]), [nothing, nothing])
    assert_rows(detections_from_frame(empty, []), [])


def test_boxes_without_area_are_left_out_with_one_warning():
    frame = changed(x1=[1.5, 9, 2], score=[0.1, 0.2, 0.3])
    message = r"^2 boxes were left out: 2 without an area \(the first: row 0 of the frame\)\.$"
    with pytest.warns(UserWarning, match=message) as caught:
        y = detections_from_frame(frame, ["a", "b"])
    assert len(caught) == 1
    assert_rows(y[:1], [make_detections([[0, 0, 9, 8]], ["dog"], [0.2])])
    assert len(y[1]) == 0


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (changed(image=["a", "c", "b"]), r"Row 1 of the frame: the image 'c' is not one of the 2"),
        (changed(image=["a", None, "b"]), "Row 1 of the frame: 'image' is missing"),
        (changed(label=["a", "b", None]), "Row 2 of the frame: 'label' is missing"),
        (changed(label=["a", 1, "b"]), "Row 1 of the frame: the label is 1, but all labels"),
        (changed(label=[0.5, 1, 2]), r"Row 0 of the frame: the label is .*0\.5.*, but all labels"),
        (changed(label=["a", "b", "c" * 201]), "Row 2 of the frame: the label has 201 characters"),
        (changed(x0=[1, np.nan, 2]), "Row 1 of the frame: 'x0' is missing"),
        (changed(x1=[4, np.inf, 6]), r"Row 1 of the frame: the box x0=0, .* x1=inf"),
        (changed(x1=[4, -1, 6]), r"Row 1 of the frame: the box x0=0, .* x1=-1, .* x0 <= x1"),
        (changed(x0=["1", "2", "3"]), r"The column 'x0' must have numbers, but has .*'1'"),
        (changed(score=["1", "2", "3"]), "The column 'score' must have numbers"),
        (changed().drop(columns="y0"), r"has no columns \['y0'\]; it has \['image', 'label'"),
    ],
)
def test_wrong_frames(frame, message):
    with pytest.raises(ValueError, match=message):
        detections_from_frame(frame, ["a", "b"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (["a", "b", "a"], r"images\[0\] and images\[2\] are both 'a'"),
        ("ab", "is of type str, but must be a list"),
        ({"a", "b"}, "is of type set, but must be a list"),
        (pd.DataFrame({"a": ["b"]}), "is of type DataFrame, but must be a list"),
        ([np.zeros((2, 2, 3), np.uint8)], r"images\[0\] is of type ndarray. Pass the value"),
    ],
)
def test_wrong_images(images, message):
    with pytest.raises(ValueError, match=message):
        detections_from_frame(changed(), images)


def test_wrong_parameters():
    with pytest.raises(TypeError, match="`frame` must be a data frame, but is dict"):
        detections_from_frame(BOXES, ["a", "b"])
    with pytest.raises(ValueError, match=r"box_columns=\('x0', 'y0'\) must name 4 columns"):
        detections_from_frame(changed(), ["a", "b"], box_columns=("x0", "y0"))
    with pytest.raises(ValueError, match="'box_format' parameter of detections_from_frame"):
        detections_from_frame(changed(), ["a", "b"], box_format="yxyx")
    with pytest.raises(ValueError, match=r"has no columns \['score'\]"):
        detections_from_frame(changed(), ["a", "b"], score_column="score")


@pytest.mark.parametrize("index", [None, list("xyz")])
@pytest.mark.parametrize("library", FRAMES)
def test_the_frame_of_a_detector_becomes_its_predictions(index, library):
    classes = ["red", "green", "blue"]
    scorer = DetectionScorer(color_detector(), format="yolov2", classes=classes, anchors=ANCHORS)
    X = pd.Series([squares((0, 1, 2)), squares(), squares((1, 0, 9), (2, 3, 3))], index=index)
    frame = scorer.predict_frame(X)
    if library != "pandas":
        frame = FRAMES[library](frame.to_dict("list"))
    assert_rows(detections_from_frame(frame, X.index), scorer.predict(X))


edges = st.tuples(*[st.floats(0, 1e4, width=32)] * 4).map(
    lambda e: (min(e[0], e[2]), min(e[1], e[3]), max(e[0], e[2]), max(e[1], e[3]))
)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.text(max_size=5), edges, st.floats(0, 1, width=32)),
        max_size=8,
    ),
    st.permutations(range(4)),
    st.sampled_from(sorted(FRAMES)),
)
def test_rows_become_boxes(rows, images, library):
    # numpy drops null characters at the end of a string
    rows = [(image, label.rstrip("\0"), *rest) for image, label, *rest in rows]
    columns = {"image": [], "label": [], "score": [], **{name: [] for name in BOX_FIELDS}}
    for image, label, box, score in rows:
        cells = (image, label, score, *box)
        for name, cell in zip(columns, cells, strict=True):
            columns[name].append(cell)
    frame = FRAMES[library](columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # boxes without an area
        y = detections_from_frame(frame, images)
    for image, found in zip(images, y, strict=True):
        kept = [
            (*box, score, label)
            for other, label, box, score in rows
            if other == image and box[0] < box[2] and box[1] < box[3]
        ]
        assert found.tolist() == kept


@pytest.mark.slow
def test_polars_needs_no_pandas():
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "import polars as pl\n"
        "from sklearn_dl.datasets import detections_from_frame\n"
        f"y = detections_from_frame(pl.DataFrame({BOXES!r}), ['a', 'b'])\n"
        "print([row['label'].tolist() for row in y])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[['dog'], ['cat', 'zebra']]"
