"""``on_error="nan"``: texts that cannot be read are left out of fits, and are missing values."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sklearn_dl import SentenceSimilarityRegressor, TextClassifier, TextEncoder, TextRegressor
from tests.text.small_estimators import KINDS, outputs, rows_of, small_estimator, targets_of

BAD = {1: None, 4: float("nan"), 6: 3.5, 9: "half \ud800"}
GOOD = [row for row in range(12) if row not in BAD]
SMALL = {"max_length": 32, "precision": "float32"}


@pytest.fixture
def estimator(kind, encoder):
    return small_estimator(kind, encoder).set_params(on_error="nan")


def with_bad_cells(rows):
    rows = rows.copy()
    for row, cell in BAD.items():
        rows[row if rows.ndim == 1 else (row, row % 2)] = cell
    return rows


def predicted(estimator, rows):
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(rows)
    return outputs(estimator, rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_is_that_of_the_rows_that_can_be_read(estimator, kind):
    rows, targets = rows_of(kind), targets_of(kind)
    expected = clone(estimator).fit(rows[GOOD], targets[GOOD])
    if kind == "encoder":
        estimator.fit(with_bad_cells(rows), targets)
    else:
        message = r"4 of 12 rows could not be read and were left out of the fit\. Row 1: the text"
        with pytest.warns(UserWarning, match=message):
            estimator.fit(with_bad_cells(rows), targets)
    np.testing.assert_array_equal(predicted(estimator, rows), predicted(expected, rows))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_cannot_be_read_are_missing_values(estimator, kind):
    rows = rows_of(kind)
    estimator.fit(rows, targets_of(kind))
    expected = predicted(estimator, rows)
    with pytest.warns(UserWarning, match=r"4 of 12 rows could not be read; their rows are missing"):
        result = predicted(estimator, with_bad_cells(rows))
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result[GOOD], expected[GOOD], atol=1e-6)
    assert np.isnan(result[list(BAD)]).all()
    with pytest.warns(UserWarning, match="3 of 3 rows could not be read"):
        nothing = predicted(estimator, with_bad_cells(rows)[[1, 4, 6]])
    assert nothing.shape == (3, *expected.shape[1:])
    assert np.isnan(nothing).all()


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_the_default(kind, encoder):
    with pytest.raises(ValueError, match=r"expects text, but each of rows"):
        small_estimator(kind, encoder).fit(with_bad_cells(rows_of(kind)), targets_of(kind))


@pytest.mark.parametrize("layers", [0, "all"])
def test_labels_of_rows_that_cannot_be_read(encoder, layers):
    clf = TextClassifier(encoder, on_error="nan", trainable_layers=layers, max_epochs=1, **SMALL)
    X = rows_of("classifier")
    y = np.array(["good", "bad"] * 6)
    clf.fit(X, y)
    bad = with_bad_cells(X)
    with pytest.warns(UserWarning, match="4 of 12 rows"):
        labels = clf.predict(bad)
    assert labels.dtype == object
    assert [row for row, label in enumerate(labels) if label is None] == list(BAD)
    assert labels[GOOD].tolist() == clf.predict(X)[GOOD].tolist()
    with pytest.warns(UserWarning, match="4 of 12 rows"):
        labels = clf.set_params(missing="unknown").predict(bad)
    assert labels.dtype.kind == "U"
    assert (labels[list(BAD)] == "unknown").all()
    with pytest.warns(UserWarning, match="4 of 12 rows"):
        assert clf.score(bad, labels) == 1.0


@pytest.mark.parametrize("where", ["X", "X_val"])
def test_rows_to_validate_with(encoder, where):
    clf = TextClassifier(encoder, early_stopping=True, max_epochs=1, **SMALL, random_state=0)
    X, y = rows_of("classifier"), targets_of("classifier")
    data = {"X": X, "X_val": X}
    good = {**data, where: X[GOOD]}
    targets = {name: y if len(rows) == 12 else y[GOOD] for name, rows in good.items()}
    expected = clone(clf).fit(good["X"], targets["X"], X_val=good["X_val"], y_val=targets["X_val"])
    data[where] = with_bad_cells(X)
    with pytest.raises(ValueError, match="each of rows 1, 4, 6 is not text"):
        clf.fit(data["X"], y, X_val=data["X_val"], y_val=y)
    with pytest.warns(UserWarning, match="4 of 24 rows could not be read and were left out"):
        clf.set_params(on_error="nan").fit(data["X"], y, X_val=data["X_val"], y_val=y)
    assert clf.history_["validation_loss"] == expected.history_["validation_loss"]


def test_frames_name_the_column(encoder):
    frame = pd.DataFrame({"title": ["a", None, "c"], "body": ["d", "e", pd.NA]})
    clf = TextClassifier(encoder, trainable_layers=0, on_error="nan", **SMALL).fit(
        pd.DataFrame({"title": ["a", "b"], "body": ["c", "d"]}), [0, 1]
    )
    with pytest.warns(UserWarning, match="Row 1: the text of column title is missing"):
        assert np.isnan(clf.predict_proba(frame)).any(axis=1).tolist() == [False, True, True]


def test_a_fit_without_a_row_that_can_be_read(encoder):
    clf = TextClassifier(encoder, on_error="nan", **SMALL)
    with pytest.raises(ValueError, match=r"No row can be used\. Row 0: the text is missing"):
        clf.fit([None, None], [0, 1])


def test_embeddings_of_rows_that_cannot_be_read(encoder):
    X, pairs = rows_of("classifier"), rows_of("bi-encoder")
    clf = TextClassifier(encoder, trainable_layers=0, on_error="nan", **SMALL).fit(
        pairs, [0, 1] * 6
    )
    similarity = SentenceSimilarityRegressor(encoder, max_epochs=0, on_error="nan", **SMALL).fit(
        pairs
    )
    for estimator, rows in ((clf, pairs), (similarity, X)):
        expected = estimator.embed(rows)
        with pytest.warns(UserWarning, match="4 of 12 rows"):
            result = estimator.embed(with_bad_cells(rows))
        np.testing.assert_allclose(result[GOOD], expected[GOOD], atol=1e-6)
        assert np.isnan(result[list(BAD)]).all()


def test_several_numbers(encoder):
    X, y = rows_of("classifier"), np.arange(24.0).reshape(12, 2)
    regressor = TextRegressor(encoder, trainable_layers=0, on_error="nan", **SMALL).fit(X, y)
    with pytest.warns(UserWarning, match="4 of 12 rows"):
        numbers = regressor.predict(with_bad_cells(X))
    assert np.isnan(numbers).all(axis=1).nonzero()[0].tolist() == list(BAD)
    with (
        pytest.raises(ValueError, match="contains NaN"),
        pytest.warns(UserWarning, match="4 of 12"),
    ):
        regressor.score(with_bad_cells(X), y)


def test_the_callers_column_is_not_changed(encoder):
    X = with_bad_cells(rows_of("encoder"))
    cells = list(X)
    with pytest.warns(UserWarning, match="4 of 12 rows"):
        TextEncoder(encoder, on_error="nan", **SMALL).transform(X)
    assert all(one is other for one, other in zip(X, cells, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_said_where_all_can_be_read(estimator, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predicted(estimator.fit(rows_of(kind), targets_of(kind)), rows_of(kind))
