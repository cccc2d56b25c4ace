"""The problem with several labels for each row: encoded, weighted, and scored."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MultiLabelBinarizer

from sklearn_dl.training._batches import split_rows
from sklearn_dl.training._classes import Classes
from sklearn_dl.training._labels import Labels
from sklearn_dl.training._problem import Continuation
from sklearn_dl.utils._targets import has_several_columns
from tests.training.test_problem import started

Y = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0]])


def learned(y=Y, **params):
    problem = Labels("Estimator", **{"class_weight": None} | params)
    problem.learn(y)
    return problem


@pytest.mark.parametrize(
    "y",
    [
        Y.astype(bool),
        Y.astype(np.uint8),
        Y.astype(float),
        Y.tolist(),
        [tuple(row) for row in Y.tolist()],
        list(Y),
        pd.DataFrame(Y, index=[3, 3, 1, 0]),
        pd.DataFrame(Y).astype("boolean"),
        pl.DataFrame(Y),
        sparse.csr_matrix(Y),
        sparse.coo_array(Y),
    ],
)
def test_every_matrix_of_0_and_1_is_several_labels(y):
    assert has_several_columns(y)
    problem = Labels("Estimator", None)
    assert_array_equal(problem.learn(y), Y == 1)
    assert problem.classes.tolist() == [[0, 1]] * 3
    assert problem.predictions(Y - 0.5).tolist() == Y.tolist()


def test_predictions_have_the_dtype_of_y():
    for dtype in (bool, np.uint8, np.int64, np.float32):
        problem = learned(Y.astype(dtype))
        assert problem.classes.dtype == problem.predictions(Y - 0.5).dtype == dtype
    mixed = pd.DataFrame({"a": [True, False], "b": [0, 1]})
    assert learned(mixed).classes.dtype == np.int64


@pytest.mark.parametrize(
    "y",
    [
        [1, 0],
        [[1], [0]],
        np.array([[1], [0]]),
        ["ab", "cd"],
        pd.DataFrame({"y": [1, 0]}),
        sparse.csr_matrix([[1], [0]]),
        iter([[1, 0], [0, 1]]),
        None,
        [None, 1],
        {"a": 1},
    ],
)
def test_one_column_is_one_label(y):
    assert not has_several_columns(y)


def test_a_sparse_column_is_one_label():
    problem = Classes("Estimator", None)
    with pytest.warns(match="column-vector y"):
        assert problem.learn(sparse.csr_matrix([[1], [0]])).tolist() == [1, 0]
    flat = sparse.coo_array(np.array([1, 0]))
    assert not has_several_columns(flat)
    assert problem.learn(flat).tolist() == [1, 0]


LISTS = [["red", "old"], ["red"], []]


@pytest.mark.parametrize(
    "y",
    [
        LISTS,
        [set(labels) for labels in LISTS],
        [("a", "b"), ("b", "c")],
        pd.Series(LISTS),
        pl.Series(LISTS),
        np.array(LISTS, dtype=object),
        [[1, 2], [1]],
        ["red", ["red", "old"]],
    ],
)
def test_lists_of_labels_are_refused_with_a_hint(y):
    assert has_several_columns(y)
    with pytest.raises(ValueError, match=r"lists of labels.*MultiLabelBinarizer\(\)"):
        Labels("Estimator", None).learn(y)


def test_the_hint_works():
    matrix = MultiLabelBinarizer().fit_transform(LISTS)
    assert learned(matrix).classes.shape == (2, 2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[0, 1], [2, 1]], r"Row 1 has 2 in column 0\. For several columns of classes"),
        ([[0.5, 1], [2, 1]], r"Row 0 has 0\.5 in column 0"),
        ([[-1, 1], [1, 1]], r"Row 0 has -1 in column 0"),
        (np.array([["a", "b"], ["b", "b"]]), "Row 0 has 'a' in column 0. For several columns of"),
        (np.array([["a", "b"], ["b", "b"]], object), "Row 0 has 'a' in column 0. For several"),
        (pd.DataFrame({"color": ["a", "b"], "size": ["s", "m"]}), "Row 0 has 'a' in column 0"),
        ([[0, 1], [None, 1]], r"column 0 of y is missing \(NaN or None\) in row\(s\) 1"),
        ([[0, np.nan], [1, 1]], r"column 1 of y is missing"),
        ([[0, np.inf], [1, 1]], "column 1 of y is infinite"),
        (np.zeros((2, 0)), "y has no columns"),
    ],
)
def test_other_values_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        Labels("Estimator", None).learn(y)


def test_validation_rows_have_the_same_labels():
    problem = learned()
    assert_array_equal(problem.encode(Y[:1].tolist(), "y_val"), Y[:1] == 1)
    with pytest.raises(ValueError, match="y_val has 2 columns, but the y of fit has 3 labels"):
        problem.encode(Y[:, :2], "y_val")
    with pytest.raises(ValueError, match="y_val has 1 column, but the y of fit has 3 labels"):
        problem.encode([0, 1], "y_val")


def test_rows_that_are_all_alike_are_nothing_to_learn_from():
    problem = learned()
    problem.refuse(Y[:2] == 1)
    with pytest.raises(ValueError, match=r"Estimator needs rows with different.*\(2 rows\)"):
        problem.refuse(Y[[1, 1]] == 1)
    later = Labels("Estimator", None)
    later.continue_from(problem, Y[[1, 1]], Continuation(True))
    later.refuse(Y[[1, 1]] == 1)


@pytest.mark.parametrize("keeps_head", [True, False])
def test_a_fit_cannot_go_on_with_another_number_of_labels(keeps_head):
    with pytest.raises(ValueError, match=r"number of columns of y: it was 3 and is now 2"):
        Labels("Estimator", None).continue_from(learned(), Y[:, :2], Continuation(keeps_head))
    one = Classes("Estimator", None)
    one.learn([0, 1])
    with pytest.raises(ValueError, match=r"number of columns of y: it was 1 and is now 3"):
        Labels("Estimator", None).continue_from(one, Y, Continuation(keeps_head))
    with pytest.raises(ValueError, match=r"fitted with a y of several columns"):
        Classes("Estimator", None).continue_from(learned(), [0, 1], Continuation(keeps_head))


def test_the_stratum_of_a_row_is_its_rarest_label():
    y = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]], dtype=bool)
    strata = learned().strata(y)
    groups = [np.flatnonzero(strata == stratum).tolist() for stratum in np.unique(strata)]
    assert sorted(groups) == [[0, 3], [1, 2], [4], [5]]
    assert strata.min() >= 0


def test_each_label_is_held_out_in_proportion():
    rng = np.random.default_rng(0)
    y = rng.random((1000, 4)) < [0.5, 0.2, 0.05, 0.02]
    train, held_out = split_rows(1000, 0.2, 0, learned().strata(y))
    assert_allclose(y[held_out].mean(0), y[train].mean(0), atol=0.02)


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 0.5, 1: 4}, {1: 3}])
def test_class_weights_are_those_of_one_against_rest(class_weight):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    y = (X[:, :3] + rng.normal(size=(200, 3)) > [0, 1, 2]).astype(int)
    weights = rng.integers(1, 3, 200).astype(float)
    problem = learned(y, class_weight=class_weight, C=3.0)
    head = problem.fit_head(X, y == 1, weights)
    centered = X - np.average(X, axis=0, weights=weights)
    scale = (weights @ centered**2 / weights.sum()).sum() ** 0.5
    for j in range(3):
        solver = LogisticRegression(C=3.0, class_weight=class_weight, max_iter=1000)
        solver.fit(centered / scale, y[:, j], sample_weight=weights)
        expected = solver.decision_function(centered / scale)
        assert_allclose(head(X)[:, j], expected, atol=5e-3)
    if class_weight == "balanced":
        rest = OneVsRestClassifier(LogisticRegression(C=3.0, class_weight="balanced"))
        agree = rest.fit(centered / scale, y).predict(centered / scale) == problem.predictions(
            problem.fit_head(X, y == 1, np.ones(200))(X)
        )
        assert agree.mean() > 0.98


def test_class_weights_that_leave_nothing():
    with pytest.raises(ValueError, match="class_weight leaves no label with a positive weight"):
        learned(class_weight={0: 0, 1: 0}).fit_head(np.eye(4), Y == 1, np.ones(4))


def test_a_label_that_never_changes_has_a_constant_logit():
    y = np.column_stack([Y, np.zeros(4), np.ones(4)]).astype(int)
    problem = learned(y, class_weight="balanced")
    head = problem.fit_head(np.random.default_rng(0).normal(size=(4, 6)), y == 1, np.ones(4))
    assert not head.weights[3:].any()
    assert_allclose(head.bias[3:], [-np.log(9), np.log(9)])
    assert head.weights[:3].any(axis=1).all()


def test_losses_are_binary_cross_entropies():
    outputs = np.array([[1.0, -2.0, 0.5], [3.0, 1.0, -1.0], [0, 0, 0], [-1, 1, 2]])
    problem = started(learned(), Y == 1)
    goals = problem.goals(Y == 1)
    assert goals.dtype == np.float64
    losses = problem.losses(torch.from_numpy(outputs), torch.from_numpy(goals))
    probabilities = problem.probabilities(outputs)
    expected = [log_loss(*pair, labels=[0, 1]) for pair in zip(Y, probabilities, strict=True)]
    assert_allclose(losses.numpy(), expected, rtol=1e-6)
    weights = np.array([1.0, 2.0, 1.0, 0.5])
    loss, score = problem.evaluate(outputs, Y == 1, weights)
    assert_allclose(loss, np.average(expected, weights=weights))
    assert score == f1_score(Y, outputs > 0, average="micro", sample_weight=weights)


def test_label_weights_and_smoothing_in_the_loss():
    outputs = torch.tensor([[1.0, -2.0, 0.5]] * 4, dtype=torch.float64)
    goals = torch.from_numpy(Y.astype(float))
    plain = started(learned(), Y == 1).losses(outputs, goals)
    problem = started(learned(class_weight={0: 1, 1: 3}), Y == 1)
    tripled = started(learned(class_weight={1: 3}), Y == 1)
    assert_allclose(problem.losses(outputs, goals), tripled.losses(outputs, goals))
    assert problem.losses(outputs, goals)[2] == plain[2]  # it has no label
    assert problem.losses(outputs, goals)[0] > plain[0]
    assert_allclose(
        problem.evaluate(outputs.numpy(), Y == 1, np.ones(4))[0],
        problem.losses(outputs, goals).mean(),
        rtol=1e-6,
    )
    smoothed = started(learned(label_smoothing=0.2), Y == 1).losses(outputs, goals)
    assert_allclose(smoothed, 0.9 * plain + 0.1 * plain_of_the_opposite(outputs), rtol=1e-6)


def plain_of_the_opposite(outputs):
    return started(learned(), Y == 1).losses(outputs, torch.from_numpy(1.0 - Y))


def test_probabilities_are_inside_of_0_and_1():
    problem = learned()
    outputs = np.array([[1e4, -1e4, 0.0]])
    probabilities = problem.probabilities(outputs)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert_array_equal(problem.log_probabilities(outputs), [[0, -1e4, np.log(0.5)]])
    assert problem.decision_values(outputs) is outputs


def test_rows_that_cannot_be_read_are_missing():
    outputs = np.array([[1.0, -1.0, 1.0], [np.nan] * 3])
    problem = learned()
    found = problem.predictions_or(outputs, None)
    assert found.dtype == np.float64
    assert_array_equal(found, [[1, 0, 1], [np.nan] * 3])
    filled = problem.predictions_or(outputs, -1)
    assert filled.dtype == np.int64
    assert_array_equal(filled, [[1, 0, 1], [-1] * 3])
    assert problem.predictions_or(outputs[:1], None).dtype == np.float64


@pytest.mark.parametrize(
    ("dtype", "missing", "expected"),
    [
        (bool, 0, bool),
        (bool, -1, np.int64),
        (np.uint8, 0, np.uint8),
        (np.uint8, -1, np.int64),
        (np.int64, False, np.int64),
        (np.float32, 0, np.float32),
        (np.int64, np.nan, np.float64),
        (bool, 2.5, np.float64),
        (np.float32, None, np.float64),
        (np.int64, "?", object),
    ],
)
def test_a_missing_number_keeps_labels_numeric(dtype, missing, expected):
    outputs = np.array([[1.0, -1.0, 1.0], [np.nan] * 3])
    problem = learned(Y.astype(dtype))
    found = problem.predictions_or(outputs, missing)
    assert found.dtype == expected
    assert found[0].tolist() == [1, 0, 1]
    filled = np.nan if missing is None else missing
    assert_array_equal(found[1], np.array([filled] * 3, dtype=expected))
    assert problem.predictions_or(outputs[:1], missing).dtype == expected
