"""``on_error="nan"``: texts that cannot be read are left out of fits, and are missing values."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from sklearn.base import clone

from sklearn_dl import SentenceSimilarityRegressor, TextClassifier, TextEncoder, TextRegressor
from tests.text.small_estimators import KINDS, outputs, rows_of, small_estimator, targets_of
from tests.text.tiny_encoders import VOCABULARY, tiny_bert

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
    name = "rows" if where == "X" else "rows of X_val"
    with pytest.warns(UserWarning, match=f"4 of 12 {name} could not be read and were left out"):
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


NETWORK = "could not be read or scored"


@pytest.fixture
def damaged(tmp_path):
    """An encoder that gives NaN for texts with an x."""
    folder = tiny_bert(tmp_path / "bert")
    state = load_file(folder / "model.safetensors")
    state["embeddings.word_embeddings.weight"][VOCABULARY.index("x")] = np.nan
    save_file(state, folder / "model.safetensors")
    return str(folder)


def odd(rows, places=(2, 7)):
    rows = rows.copy()
    for row in places:
        rows[row if rows.ndim == 1 else (row, row % 2)] = "xyz"
    return rows


@pytest.mark.parametrize("kind", KINDS)
def test_texts_that_a_network_cannot_score_are_left_out(kind, damaged):
    rows, targets = rows_of(kind), targets_of(kind)
    estimator = small_estimator(kind, damaged).set_params(on_error="nan")
    good = [row for row in range(12) if row not in (2, 7)]
    expected = clone(estimator).fit(rows[good], targets[good])
    if kind == "encoder":
        estimator.fit(odd(rows))
    else:
        with pytest.warns(UserWarning, match=f"2 of 12 rows {NETWORK} and were left out"):
            estimator.fit(odd(rows), targets)
    # in float32, a batch with other texts changes features by as much
    np.testing.assert_allclose(predicted(estimator, rows), predicted(expected, rows), atol=1e-6)
    with pytest.warns(UserWarning, match=f"2 of 12 rows {NETWORK}; their rows are missing values"):
        result = predicted(estimator, odd(rows))
    assert np.isnan(result[[2, 7]]).all()
    assert np.isfinite(result[good]).all()


@pytest.mark.parametrize("kind", ["classifier", "bi-encoder", "cross-encoder"])
def test_validation_rows_that_a_network_cannot_score_are_left_out(kind, damaged):
    rows, targets = rows_of(kind), targets_of(kind)
    estimator = small_estimator(kind, damaged)
    estimator.set_params(on_error="nan", early_stopping=True, max_epochs=2)
    expected = clone(estimator).fit(rows, targets, X_val=rows[3:7], y_val=targets[3:7])
    with pytest.warns(UserWarning, match=f"2 of 6 rows of X_val {NETWORK} and were left out"):
        estimator.fit(rows, targets, X_val=odd(rows)[2:8], y_val=targets[2:8])
    for name in ("validation_loss", "validation_score"):
        assert estimator.history_[name] == expected.history_[name]
    with pytest.raises(ValueError, match=r"No row of X_val can be used\. Row 0: the network"):
        estimator.fit(rows, targets, X_val=odd(rows)[2:3], y_val=targets[2:3])


def test_a_network_that_gives_nothing_but_nan(damaged):
    encoder = TextEncoder(damaged, on_error="nan", **SMALL)
    with pytest.warns(UserWarning, match="3 of 3 rows"):
        assert np.isnan(encoder.transform([None, "xyz", None])).all()
    folder = Path(damaged)
    state = load_file(folder / "model.safetensors")
    state["embeddings.word_embeddings.weight"][:] = np.nan
    save_file(state, folder / "model.safetensors")
    with pytest.warns(UserWarning, match="2 of 2 rows"):
        assert encoder.transform([None, None]).shape == (2, 32)


def test_a_fit_is_the_same_whether_or_not_rows_may_be_masked(encoder):
    clf = TextClassifier(encoder, max_epochs=1, random_state=0, **SMALL)
    X, y = rows_of("classifier"), targets_of("classifier")
    raising, masking = clone(clf).fit(X, y), clone(clf).set_params(on_error="nan").fit(X, y)
    np.testing.assert_array_equal(raising.predict_proba(X), masking.predict_proba(X))


def test_a_masked_row_counts_as_wrong_in_score(encoder):
    clf = TextClassifier(encoder, trainable_layers=0, on_error="nan", **SMALL)
    X, y = rows_of("classifier"), targets_of("classifier")
    clf.fit(X, y)
    right = (clf.predict(X) == y)[GOOD].sum() / 12
    for missing in (None, "?", pd.NA, np.nan):
        with pytest.warns(UserWarning, match="4 of 12 rows"):
            assert clf.set_params(missing=missing).score(with_bad_cells(X), y) == pytest.approx(
                right
            )
    weights = np.zeros(12)
    weights[list(BAD)] = 1
    with pytest.warns(UserWarning, match="4 of 12 rows"):
        assert clf.score(with_bad_cells(X), y, weights) == 0.0
    clf.set_params(missing=["?"])
    with pytest.warns(UserWarning, match="4 of 12"), pytest.raises(ValueError, match="one label"):
        clf.predict(with_bad_cells(X))


def test_missing_is_not_part_of_what_a_fit_is(encoder, tmp_path):
    def fitted(missing):
        clf = TextClassifier(
            encoder, on_error="nan", missing=missing, max_epochs=1, checkpoint_dir=tmp_path, **SMALL
        )
        return clf.fit(rows_of("classifier"), targets_of("classifier"))

    X = rows_of("classifier")
    np.testing.assert_array_equal(fitted("a").predict_proba(X), fitted("b").predict_proba(X))
