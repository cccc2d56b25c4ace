import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier

from sklearn_dl import SentenceSimilarityRegressor, TextClassifier, TextEncoder, clear_sessions

X = np.array(["a good film", "the bad book", "fine music", "poor plot"] * 3, dtype=object)
PAIRS = np.column_stack([X, X[::-1]])
Y = np.array([1.0, 0.0] * 6)
KINDS = ["classifier", "frozen", "pairs", "similarity", "cosine", "cross", "encoder"]


@pytest.fixture
def cases(encoder):
    params = {"max_length": 32, "precision": "float32"}
    fits = {**params, "max_epochs": 1, "random_state": 0}
    classifier = TextClassifier(encoder, **fits)
    regressor = SentenceSimilarityRegressor(encoder, **fits)
    return {
        "classifier": (classifier, X),
        "frozen": (clone(classifier).set_params(trainable_layers=0), X),
        "pairs": (clone(classifier), PAIRS),
        "similarity": (regressor, PAIRS),
        "cosine": (clone(regressor).set_params(max_epochs=0), PAIRS),
        "cross": (clone(regressor).set_params(architecture="cross-encoder"), PAIRS),
        "encoder": (TextEncoder(encoder, **params), X),
    }


@pytest.fixture(params=KINDS)
def case(cases, request):
    estimator, rows = cases[request.param]
    labels = Y.astype(int) if is_classifier(estimator) else Y
    return estimator, rows.copy(), labels


def learnt(estimator):
    params = estimator.get_params()
    return {name: value for name, value in vars(estimator).items() if name not in params}


def results(estimator, rows):
    method = estimator.transform if isinstance(estimator, TextEncoder) else estimator.predict
    return method(rows)


def refused(case, rows, message, y=None, error=ValueError, predicts=True):
    """`fit` and prediction raise, and leave an estimator as it was, fitted or not."""
    estimator, good, labels = case
    y = labels if y is None else y
    with pytest.raises(error, match=message):
        estimator.fit(rows, y)
    assert not learnt(estimator)
    estimator.fit(good, labels)
    before, expected = learnt(estimator), results(estimator, good)
    with pytest.raises(error, match=message):
        estimator.fit(rows, y)
    assert learnt(estimator) == before
    if predicts:
        with pytest.raises(error, match=message):
            results(estimator, rows)
        assert learnt(estimator) == before
    np.testing.assert_array_equal(results(estimator, good), expected)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (None, r"missing\. Drop the rows, or fill them: fillna"),
        (np.nan, r"missing\. Drop"),
        (pd.NA, r"missing\. Drop"),
        (3, r"3 \(int\)\. Make text of it: astype"),
        (2.5, r"2\.5 \(float\)"),
        (b"bytes", r"b'bytes' \(bytes\)"),
        (["a", "list"], r"\['a', 'list'\] \(list\)"),
        (b"x" * 1000, r"b'x{38} \(bytes\)"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_cells_that_are_no_text_are_named(case, cell, shown):
    name, rows = type(case[0]).__name__, case[1].copy()
    for row in (2, 5):
        rows[row if rows.ndim == 1 else (row, 1)] = cell
    where = "" if rows.ndim == 1 else " of column 1"
    refused(
        case, rows, f"{name} expects text, but each of rows 2, 5{where} is not: row 2 is {shown}"
    )


def test_many_bad_rows_are_counted(case):
    rows = case[1].copy()
    rows[1:10] = None
    refused(case, rows, r"each of rows 1, 2, 3, 4, 5 and 4 more.* is not: row 1 is missing")


def test_the_column_of_a_frame_is_named(case):
    rows = case[1].copy()
    rows[3 if rows.ndim == 1 else (3, 1)] = None
    frame = pd.DataFrame(rows, columns=["a", "b"][: rows.ndim], dtype=object)
    where = "" if rows.ndim == 1 else " of column b"
    with pytest.raises(ValueError, match=f"row 3{where} is not: row 3 is missing"):
        case[0].fit(frame, case[2])


def test_numbers_are_no_text(case):
    for rows in (np.arange(12), np.arange(24.0).reshape(12, 2), pd.DataFrame({"a": range(12)})):
        with pytest.raises(ValueError, match=r"expects (text|one column|two columns)"):
            case[0].fit(rows, case[2])
    assert not learnt(case[0])


def test_halves_of_surrogate_pairs_are_named(case):
    rows = case[1].copy()
    rows[4 if rows.ndim == 1 else (4, 0)] = "good \ud83d film"
    where = "" if rows.ndim == 1 else " of column 0"
    refused(case, rows, rf"row 4{where} holds half of a surrogate pair \(row 4: U\+D83D at positi")


def test_three_columns(case):
    refused(case, np.column_stack([X, X, X]), "expects .*, got 3 columns")


def test_one_column_for_the_regressor(cases):
    for kind in ("similarity", "cosine", "cross"):
        estimator, _ = cases[kind]
        refused((estimator, PAIRS, Y), X, "expects two columns of texts .*, got 1 column[.]")


def test_no_rows(case):
    refused(case, case[1][:0], r"0 sample\(s\)", y=case[2][:0])


@pytest.mark.parametrize(
    "rows", ["one text", {"a": ["text"]}, b"bytes", {"a", "b"}, None], ids=repr
)
def test_what_is_no_column(case, rows):
    refused(case, rows, r"expects a column of values|got a set")


def test_rows_of_unequal_width(case):
    with pytest.raises(ValueError, match="Row 1 has 2 columns, row 0 has 1"):
        case[0].fit([["a"], ["a", "b"]], [0, 1])


def fits_to_y(case):
    if isinstance(case[0], TextEncoder):
        pytest.skip("has no y")


def test_unequal_lengths(case):
    fits_to_y(case)
    refused(case, case[1], "inconsistent numbers of samples", y=case[2][:-1], predicts=False)
    estimator, rows, y = case
    with pytest.raises(ValueError, match=r"\(3,\), expected \(12,\)"):
        estimator.fit(rows, y, sample_weight=np.ones(3))


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA], ids=repr)
def test_missing_targets_are_named(case, missing):
    fits_to_y(case)
    y = case[2].astype(object)
    y[[3, 7]] = missing
    message = r"y is missing \(NaN or None\) in row\(s\) 3, 7: drop these rows"
    refused(case, case[1], message, y=y, predicts=False)


def test_missing_text_labels_are_named(cases):
    estimator, rows = cases["classifier"]
    y = np.where(Y, "yes", "no").astype(object)
    y[2] = None
    refused((estimator, rows, Y.astype(int)), rows, r"in row\(s\) 2: drop", y=y, predicts=False)


def test_targets_that_are_no_numbers(cases):
    for kind in ("similarity", "cosine", "cross"):
        words = np.where(Y, "high", "low")
        refused(
            (clone(cases[kind][0]), PAIRS, Y),
            PAIRS,
            "y must hold numbers: .*'high'",
            y=words,
            predicts=False,
        )
        infinite = Y.copy()
        infinite[4] = np.inf
        refused(
            (cases[kind][0], PAIRS, Y), PAIRS, "y is infinite in row 4", y=infinite, predicts=False
        )


def test_no_y(case):
    fits_to_y(case)
    estimator, rows, _ = case
    if getattr(estimator, "max_epochs", None) == 0:
        pytest.skip("learns nothing")
    with pytest.raises((TypeError, ValueError)):
        estimator.fit(rows, None)
    assert not learnt(estimator)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.full(12, -1.0), "Negative values"),
        (np.full(12, np.nan), "NaN"),
        (["a"] * 12, "could not convert"),
    ],
    ids=str,
)
def test_weights(case, weights, message):
    fits_to_y(case)
    with pytest.raises(ValueError, match=message):
        case[0].fit(case[1], case[2], sample_weight=weights)
    assert not learnt(case[0])


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_missing_package(case, package, monkeypatch):
    estimator, rows, y = case
    for name in [
        m
        for m in sys.modules
        if m in ("sklearn_dl.text._network", "sklearn_dl.models._transformers")
    ]:
        monkeypatch.delitem(sys.modules, name)
    clear_sessions()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'needs {package}: pip install "sklearn-dl\[text\]"'):
        results(estimator.fit(rows, y), rows)
    assert not any(name.startswith(("classes", "_network")) for name in learnt(estimator))


ODD = {
    "empty": "",
    "spaces": "  \t\n ",
    "controls": "a\x00b\x07c\x1b[0m\x7f",
    "right to left": "שלום \u202eعالم\u202c",  # noqa: RUF001
    "emoji": "good 👍🏽 film 👨‍👩‍👧",
    "combining": "e\u0301" * 5 + "\u200b\ufeff",
    "unassigned": "\U000e0fff\ufffe",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_texts_are_read(case, text):
    estimator, rows, y = case
    rows[0] = text
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*texts are longer")
        estimator.fit(rows, y)
        made = np.asarray(results(estimator, rows))
        assert np.isfinite(made).all()
        np.testing.assert_allclose(results(estimator, rows[:1]), made[:1], atol=1e-5)


def test_texts_of_a_megabyte_are_cut_and_counted(case):
    estimator, rows, y = case
    rows[0] = "good film " * 100_000
    calls = [lambda: results(estimator, rows)]
    if isinstance(estimator, TextEncoder):
        estimator.fit(rows)
    else:
        calls.insert(0, lambda: estimator.fit(rows, y))
    for call in calls:
        with pytest.warns(UserWarning, match=r"^(1 of 12|2 of 24) texts are") as caught:
            made = call()
        assert len(caught) == 1
        assert caught[0].filename == __file__
    assert np.isfinite(np.asarray(made)).all()
