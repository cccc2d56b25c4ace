"""Errors and warnings of rows name the labels of the rows in the index of a pandas X."""

import pickle
from datetime import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.pipeline import make_pipeline

from sklearn_dl import (
    EntityRecognizer,
    ImageClassifier,
    ImageLoader,
    ImageResizer,
    LabelKeyMapper,
    OnnxScorer,
    PixelExtractor,
    ScoreClassifier,
    TextClassifier,
    TextEncoder,
)
from sklearn_dl.utils._messages import (
    RowError,
    RowsError,
    names_labels,
    naming_labels,
    row_label,
    shown_row,
    warn_of_failed_rows,
)
from tests.scoring.onnx_graphs import mean_color, negate, same
from tests.text.tiny_encoders import tiny_bert
from tests.vision.backbones import mean_color_graph

LABELS = ["a", "b", "c", "d"]
IMAGES = list(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(tiny_bert(tmp_path_factory.mktemp("encoders") / "bert"))


def series(cells, labels=LABELS):
    return pd.Series(cells, index=labels, dtype=object)


@pytest.mark.parametrize(
    ("index", "shown"),
    [
        (pd.RangeIndex(3), ""),
        (pd.Index([0, 1, 2]), ""),
        (pd.Index([0, 1, 2], dtype="uint8"), ""),
        (None, ""),
        (pd.RangeIndex(1, 4), " (index 2)"),
        (pd.Index([7, 7, 3]), " (index 7)"),
        (pd.Index([0.0, 1.0, 2.0]), " (index 1.0)"),
        (pd.Index(["x", "b17", "y"]), " (index 'b17')"),
        (pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]), " (index ('a', 2))"),
        (pd.DatetimeIndex([datetime(2026, 1, d) for d in (1, 2, 3)]), " (index Timestamp("),
        (pd.Index([True, False, True]), " (index False)"),
        (pd.CategoricalIndex(["u", "v", "u"]), " (index 'v')"),
        (pd.Index(["x", "y" * 500, "z"]), f" (index '{'y' * 10}"),
    ],
    ids=str,
)
def test_a_label_is_named_unless_it_is_the_position(index, shown):
    assert shown_row(1, index).startswith(f"1{shown}")
    assert len(shown_row(1, index)) < 120
    assert (row_label(index, 1) is None) == (not shown)
    X = [1, 2, 3] if index is None else pd.Series([1, 2, 3], index=index)
    with pytest.raises(RowError) as caught, naming_labels(X):
        raise RowError("it is damaged", 1, "a.png")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert str(error).startswith(f"Row 1{shown}")
        assert str(error).endswith(": it is damaged")
        assert (error.row, error.source) == (1, "a.png")
        assert error.label == row_label(index, 1)


@pytest.mark.parametrize("X", [pl.DataFrame({"a": [1]}), pl.Series([1]), [1], (1,), np.ones(1), {}])
def test_other_containers_have_no_labels(X):
    with pytest.raises(RowError, match=r"^Row 0: damaged$"), naming_labels(X):
        raise RowError("damaged", 0)


def test_a_message_that_names_rows_itself():
    with pytest.raises(RowsError) as caught, naming_labels(series([1] * 4)):
        raise RowsError("rows 1 and 3 are damaged.", 1)
    assert str(caught.value) == "rows 1 and 3 are damaged. Row 1 has the index 'b'."


def test_the_label_of_the_inner_X_is_named():
    class Outer:
        @names_labels
        def transform(self, X):
            inner = list(X) if self.keeps_rows else series([1] * 4, list("pqrs"))
            with naming_labels(inner):
                raise RowError("damaged", 2)

    outer = Outer()
    for outer.keeps_rows, label in ((True, "c"), (False, "r")):
        with pytest.raises(RowError, match=rf"^Row 2 \(index '{label}'\): damaged$"):
            outer.transform(X=series([1] * 4))


def test_a_row_without_a_number_and_other_errors():
    with pytest.raises(RowError, match=r"^damaged$"), naming_labels(series([1] * 4)):
        raise RowError("damaged")
    with pytest.raises(ValueError, match=r"^Row 1: wrong$"), naming_labels(series([1] * 4)):
        raise ValueError("Row 1: wrong")


def test_a_warning_outside_and_inside():
    errors = {3: RowError("damaged", 3), 1: RowError("damaged", 1)}
    with pytest.warns(UserWarning, match=r"missing values\. Row 1: damaged$"):
        warn_of_failed_rows(errors, 4)
    named = r"missing values\. Row 1 \(index 'b'\): damaged$"
    with naming_labels(series([1] * 4)), pytest.warns(UserWarning, match=named):
        warn_of_failed_rows(errors, 4)


def test_a_file_that_does_not_exist(tmp_path):
    X = series(IMAGES)
    X["c"] = str(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError, match=r"^Row 2 \(index 'c'\): .*gone\.png") as caught:
        ImageLoader().transform(X)
    assert (caught.value.row, caught.value.label) == (2, "c")
    with pytest.raises(FileNotFoundError, match=r"^Row 2: ") as caught:
        ImageLoader().transform(list(X))
    assert caught.value.label is None


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_images_that_are_read_two_steps_later(on_error):
    X = pd.DataFrame({"image": series(IMAGES)})
    X.loc["c", "image"] = b"no image"
    pipe = make_pipeline(
        ImageLoader(on_error=on_error),
        ImageResizer(4, 4),
        PixelExtractor(),
        OnnxScorer(mean_color()),
    ).set_output(transform="pandas")
    message = r"Row 2 \(index 'c'\): cannot read <8 bytes>"
    if on_error == "raise":
        with pytest.raises(ValueError, match=message):
            pipe.transform(X)
        with pytest.raises(ValueError, match=message.replace("2", "0", 1)):
            pipe[-1].transform(pipe[:-1].transform(X)[2:])
    else:
        with pytest.warns(UserWarning, match=message):
            pipe.transform(X)


def test_numbers_and_strings():
    frame = pd.DataFrame({"x": [1.0, 1e300, 2.0, 3.0]}, index=LABELS)
    with pytest.raises(RowError, match=r"^Row 1 \(index 'b'\): the value 1e\+300 cannot be"):
        OnnxScorer(negate()).transform(frame)
    with pytest.raises(RowError, match=r"^Row 0 \(index 'a'\): the input 'x'.* takes strings"):
        OnnxScorer(same(str)).transform(frame.astype({"x": object}))
    scores = pd.DataFrame([[0.5, 0.5], [2.0, 0.0]], index=["p", "q"])
    with pytest.raises(RowsError, match=r"Row 1 of X does not .* Row 1 has the index 'q'\.$"):
        ScoreClassifier(["u", "v"]).predict(scores)
    mapper = LabelKeyMapper().fit(["u"])
    with pytest.raises(RowsError, match=r"Row 3 of column 0 has .* Row 3 has the index 'd'\.$"):
        mapper.inverse_transform(series([0, 1, 1, 2]))


def test_texts(encoder):
    X = series(["a good film", None, "bad", "music"])
    with pytest.raises(RowsError, match=r"row 1 is missing.* Row 1 has the index 'b'\.$"):
        TextEncoder(encoder, max_length=32).transform(X)
    with pytest.warns(UserWarning, match=r"Row 1 \(index 'b'\): the text is missing"):
        TextEncoder(encoder, max_length=32, on_error="nan").transform(X)


def test_a_fit_names_the_labels_of_the_rows_that_are_wrong(encoder):
    params = {"max_length": 32, "max_epochs": 1, "early_stopping": True, "random_state": 0}
    clf = TextClassifier(encoder, **params)
    X, y = series(["a good film", "bad", "music", "cat"]), [0, 1, 0, 1]
    X_val = series(["good", None], ["p", "q"])
    with pytest.raises(RowsError, match="Row 1 has the index 'q'"):
        clf.fit(X, y, X_val=X_val, y_val=[0, 1])
    with pytest.raises(RowsError) as caught:
        clf.fit(X, y, X_val=list(X_val), y_val=[0, 1])
    assert caught.value.label is None
    clf.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="could not be read") as warned:
        clf.fit(X.where(X != "bad", None), y, X_val=X_val, y_val=[0, 1])
    first, second = (str(warning.message) for warning in warned)
    assert "1 of 4 rows could not be read" in first
    assert "Row 1 (index 'b'): the text is missing" in first
    assert "1 of 2 rows of X_val could not be read" in second
    assert "Row 1 (index 'q'): the text is missing" in second
    with pytest.raises(ValueError, match=r"No row can be used\. Row 0 \(index 'a'\): the text is"):
        clf.fit(X.where(X == "none", None), y, X_val=["a"], y_val=[1])


def test_images_of_a_fit(tmp_path):
    path = tmp_path / "colors.onnx"
    path.write_bytes(mean_color_graph())
    X = series([*IMAGES[:2], b"no image", IMAGES[3]])
    clf = ImageClassifier(str(path), image_size=8)
    with pytest.raises(ValueError, match=r"^Row 2 \(index 'c'\): cannot read <8 bytes>"):
        clf.fit(X, [0, 1, 0, 1])
    with pytest.warns(UserWarning, match=r"1 of 4 images .* Row 2 \(index 'c'\): cannot read"):
        clf.set_params(on_error="nan").fit(X, [0, 1, 0, 1])


def test_targets(encoder):
    recognizer = EntityRecognizer(encoder, max_length=32, window_overlap=8)
    X = series(["the red cat", "a dog", "music", "old"])
    with pytest.raises(RowsError, match=r"y, row 1: .* Row 1 has the index 'b'\.$"):
        recognizer.fit(X, [[(4, 7, "colour")], [(0, 99, "pet")], [], []])
    y = pd.Series(["u", None, "v", None], index=LABELS)
    message = r"y is missing \(NaN or None\) in row\(s\) 1 \(index 'b'\), 3 \(index 'd'\): drop"
    with pytest.raises(ValueError, match=message):
        ScoreClassifier().fit(np.ones((4, 2)), y)
    numbers = pd.Series([1.0, 2.0, np.inf, 3.0], index=LABELS)
    with pytest.raises(ValueError, match=r"y is infinite in row 2 \(index 'c'\)\."):
        ScoreClassifier().fit(np.ones((4, 2)), numbers)
