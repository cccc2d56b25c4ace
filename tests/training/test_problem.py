"""The targets of a fit are encoded, weighted, scaled and scored, without a network."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from sklearn.metrics import r2_score

from sklearn_dl.text._cosines import Cosines, Similarities
from sklearn_dl.training._classes import Classes
from sklearn_dl.training._numbers import Numbers
from sklearn_dl.training._problem import Continuation, Problem
from sklearn_dl.training._rows import Examples, Rows

ONES = np.ones(4)


class Numbered(Rows):
    """Rows of which only the number is known."""

    def __init__(self, numbers):
        self.numbers = numbers

    def take(self, positions):
        return Numbered(self.numbers[positions])

    digest = not_finite = warn_of_cut = warn_of_errors = None


def started(problem, targets, weights=None, outputs=None):
    weights = np.ones(len(targets)) if weights is None else weights
    rows = Numbered(np.arange(len(targets)))
    problem.start(Examples(rows, targets, weights), outputs, seed=0)
    return problem


def learned_classes(y, **params):
    problem = Classes("Estimator", **{"class_weight": None} | params)
    problem.learn(y)
    return problem


def test_a_problem_says_what_a_new_one_must_have():
    assert Problem.__abstractmethods__ == {
        "learn",
        "continue_from",
        "encode",
        "refuse",
        "fit_head",
        "losses",
        "evaluate",
        "initial_head",
        "predictions",
    }


def test_targets_are_known_by_their_numbers_type_and_shape():
    problem = Numbers("numbers", several=True)
    zeros = np.zeros(4)
    known = [
        problem.digest(targets)
        for targets in (zeros, zeros.astype(np.int64), zeros.reshape(2, 2), np.arange(4.0))
    ]
    assert len(set(known)) == 4
    assert problem.digest(np.zeros(4)) == known[0]


# --- classes


def test_classes_are_numbered_in_their_order():
    problem = learned_classes(["b", "a", "c", "a"])
    assert problem.attributes()["classes_"].tolist() == ["a", "b", "c"]
    assert_array_equal(problem.encode(["c", "a"], "y"), [2, 0])
    assert problem.encode(["c", "a"], "y").dtype == np.int64
    with pytest.raises(ValueError, match=r"y_val has classes that y does not have: \['d'\]"):
        problem.encode(["a", "d"], "y_val")
    outputs = np.array([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    assert problem.predictions(outputs).tolist() == ["b", "a"]


def test_classes_weigh_their_rows():
    targets, weights = np.array([0, 1, 1, 1]), np.array([1.0, 1.0, 2.0, 0.0])
    problem = learned_classes(["a", "b"])
    assert problem.weights(targets, weights) is weights
    problem = learned_classes(["a", "b"], class_weight={"a": 3.0})
    assert_array_equal(problem.weights(targets, weights), [3, 1, 2, 0])
    problem = learned_classes(["a", "b"], class_weight="balanced")
    assert_allclose(problem.weights(targets, weights), [2, 2 / 3, 4 / 3, 0])


def test_one_class_is_nothing_to_learn_from_unless_a_head_knows_more():
    problem = learned_classes(["a", "b"])
    problem.refuse(np.array([0, 1]))
    with pytest.raises(ValueError, match=r"Estimator needs at least two classes.*: 'b'"):
        problem.refuse(np.array([1, 1]))
    later = Classes("Estimator", None)
    later.continue_from(problem, ["b", "b"], Continuation(True))
    later.refuse(later.encode(["b", "b"], "y"))
    assert later.classes.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("y", "keeps_head", "message"),
    [
        (["a"], False, "Here a new head is fitted to these rows alone"),
        (["a", "c"], True, "Set warm_start=False to start anew"),
        (["a", "c"], False, "Set warm_start=False to start anew"),
    ],
)
def test_a_fit_cannot_go_on_with_other_classes(y, keeps_head, message):
    earlier = learned_classes(["a", "b"])
    with pytest.raises(
        ValueError, match=f"cannot change the classes: the estimator was fitted with.*{message}"
    ):
        Classes("Estimator", None).continue_from(earlier, y, Continuation(keeps_head))


def test_classes_are_held_out_in_proportion():
    targets = np.array([0, 1, 1])
    assert learned_classes(["a", "b"]).strata(targets) is targets
    assert Numbers("numbers").strata(targets) is None


def test_losses_and_scores_of_classes():
    problem = learned_classes(["a", "b", "c"])
    outputs = np.array([[1.0, 2.0, 0.0], [3.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    targets, weights = np.array([1, 1, 2]), np.array([1.0, 2.0, 1.0])
    expected = -log_softmax(outputs, axis=1)[[0, 1, 2], targets]
    losses = problem.losses(torch.from_numpy(outputs), torch.from_numpy(targets))
    assert_allclose(losses.numpy(), expected)
    loss, score = problem.evaluate(outputs, targets, weights)
    assert loss == pytest.approx(np.average(expected, weights=weights))
    assert score == 0.5


def test_the_head_that_training_starts_with_is_finite():
    problem = learned_classes(["a", "b", "c"])
    features, targets = np.array([[0.0], [1.0], [0.1], [0.9]]), np.array([0, 2, 0, 2])
    fitted, initial = (f(features, targets, ONES) for f in (problem.fit_head, problem.initial_head))
    assert fitted.bias[1] == -np.inf
    assert initial.bias[1] == fitted.bias[[0, 2]].min() - 10
    assert_array_equal(initial.bias[[0, 2]], fitted.bias[[0, 2]])


# --- numbers


def test_a_trained_network_learns_standard_scores():
    problem = Numbers("prices")
    targets = np.array([1.0, 3.0, 5.0, 100.0])
    started(problem, targets, np.array([1.0, 1.0, 1.0, 0.0]))
    assert problem.intercept == 3.0
    assert problem.slope == pytest.approx((8 / 3) ** 0.5)
    goals = problem.goals(targets)
    assert_allclose(goals[:3].mean(), 0, atol=1e-15)
    assert_allclose(problem.predictions(goals[:, None]), targets)


def test_a_fit_goes_on_with_the_scale_of_the_head_that_stays():
    earlier = Numbers("prices")
    started(earlier, np.array([1.0, 3.0]))
    kept, anew = Numbers("prices"), Numbers("prices")
    kept.continue_from(earlier, [10.0, 30.0], Continuation(True))
    anew.continue_from(earlier, [10.0, 30.0], Continuation(False))
    for problem in (kept, anew):
        started(problem, np.array([10.0, 30.0]))
    assert (kept.slope, kept.intercept) == (1.0, 2.0)
    assert (anew.slope, anew.intercept) == (10.0, 20.0)


def test_equal_numbers_are_nothing_to_learn_from():
    with pytest.raises(ValueError, match=r"All 4 prices are equal \(2\): there is nothing"):
        Numbers("prices").refuse(np.full(4, 2.0))


def test_losses_and_scores_of_numbers():
    problem = Numbers("prices")
    problem.slope, problem.intercept = 2.0, 1.0
    targets = np.array([1.0, 2.0, 4.0, 1.0])
    outputs = np.array([[0.0], [1.0], [1.0], [0.0]])  # predictions 1, 3, 3, 1
    goals = torch.from_numpy(problem.goals(targets))
    losses = problem.losses(torch.from_numpy(outputs), goals)
    assert_allclose(losses.numpy(), [0, 0.25, 0.25, 0])
    loss, score = problem.evaluate(outputs, targets, ONES)
    assert loss == pytest.approx(losses.mean().item())
    assert score == pytest.approx(1 - 2 / 6)


def test_several_numbers_of_a_row_are_scaled_and_scored_one_by_one():
    y = np.array([[1.0, 0.1, 5.0], [3.0, 0.1, 9.0], [5.0, 0.1, 1.0], [3.0, 0.1, 5.0]])
    problem = Numbers("prices", several=True)
    problem.learn(y)
    targets = problem.encode(y.tolist(), "y")
    assert_array_equal(targets, y)
    started(problem, targets)
    assert_allclose(problem.intercept, [3, 0.1, 5])
    # a column of equal numbers is its mean, though that is rounded
    assert_allclose(problem.slope, [2**0.5, 1, 8**0.5])
    goals = problem.goals(targets)
    assert_allclose(problem.predictions(goals), y)
    outputs = goals + np.array([1.0, 0.0, 0.0])
    losses = problem.losses(torch.from_numpy(outputs), torch.from_numpy(goals))
    assert_allclose(losses.numpy(), 1 / 3)
    loss, score = problem.evaluate(outputs, targets, ONES)
    assert loss == pytest.approx(1 / 3)
    assert score == pytest.approx(r2_score(targets, problem.predictions(outputs)))


@pytest.mark.parametrize("error", [0.0, 0.5])
def test_r2_of_several_numbers_is_that_of_scikit_learn(error):
    problem = Numbers("prices", several=True)
    targets = problem.learn(np.column_stack([[1.0, 2.0, 3.0, 6.0], [64.0, 2.0, 2.0, 2.0]]))
    started(problem, targets)
    held_out = np.column_stack([[1.0, 2.0, 4.0], [2.0, 2.0, 2.0]])
    outputs = problem.goals(held_out)
    outputs[:, 1] += error
    _, score = problem.evaluate(outputs, held_out, np.ones(3))
    assert score == pytest.approx(r2_score(held_out, problem.predictions(outputs)))


def test_a_head_of_several_numbers_is_fitted():
    features = np.random.default_rng(0).normal(size=(50, 3))
    goals = features @ np.array([[1.0, 0], [0, 2], [1, 1]]) + [1, 2]
    head = Numbers("prices", several=True).fit_head(features, goals, np.ones(50))
    assert head.weights.shape == (2, 3)
    assert_allclose(head(features), goals, atol=0.2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0, 2.0], "y_val has 1 column, but y has 2"),
        ([[1.0, 2.0, 3.0]] * 2, "y_val has 3 columns, but y has 2"),
        ([[1.0, 2.0], [1.0]], "Row 1 of y_val has 1 value, but row 0 has 2"),
        (
            [[1.0, 2.0], [1.0, np.nan]],
            r"column 1 of y_val is missing \(NaN or None\) in row\(s\) 1",
        ),
        ([[1.0, 2.0], [np.inf, 1.0]], "column 0 of y_val is infinite in row 1"),
        ([[1.0, 2.0], ["a", 1.0]], "column 0 of y_val must contain numbers"),
    ],
)
def test_rows_of_numbers_that_do_not_fit_are_named(y, message):
    problem = Numbers("prices", several=True)
    problem.learn([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(ValueError, match=message):
        problem.encode(y, "y_val")


def test_a_fit_cannot_go_on_with_another_number_of_numbers():
    earlier, later = Numbers("prices", several=True), Numbers("prices", several=True)
    earlier.learn([1.0, 2.0])
    with pytest.raises(ValueError, match=r"the number of columns of y: it was 1 and is now 2"):
        later.continue_from(earlier, [[1.0, 2.0], [3.0, 4.0]], Continuation(True))


# --- cosines


def cosines_of(values):
    return lambda rows: np.array(values)[rows.numbers, None]


def test_the_line_through_the_cosines_of_a_frozen_encoder():
    problem = Cosines()
    cosines, targets = np.array([[0], [0.1], [0.2], [0]]), np.array([1.0, 2.0, 3.0, 9.0])
    assert problem.fit_head(cosines, targets, np.array([1, 1, 1, 0])) is None
    assert problem.slope == pytest.approx(10)
    assert problem.intercept == pytest.approx(1)
    assert problem.attributes() == {"slope_": problem.slope, "intercept_": problem.intercept}


def test_targets_of_training_span_enough_of_the_cosines():
    # the line's slope would be 10 * the targets' spread
    problem = started(Cosines(), np.array([0.0, 1.0]), outputs=cosines_of([0.0, 0.1]))
    assert problem.slope == 3.0
    assert problem.intercept == pytest.approx(0.5 - 3 * 0.05)


@pytest.mark.parametrize(
    "cosines", [[0.5] * 4, [0.5, 0.5 + 1e-9, 0.5, 0.5], [0.1, 0.3, 0.3, 0.1]], ids=str
)
def test_a_line_through_cosines_without_relation_is_flat_and_not_gone_on_from(cosines):
    targets = np.array([0.1, 0.7, 0.1, 0.7])
    earlier, later = Cosines(), Cosines()
    earlier.fit_head(np.array(cosines)[:, None], targets, ONES)
    assert earlier.slope == 0.0
    assert earlier.intercept == pytest.approx(0.4)
    later.continue_from(earlier, targets, Continuation(False))
    started(later, targets, outputs=cosines_of(cosines))
    assert abs(later.slope) == pytest.approx(0.6)
    assert np.abs(later.goals(targets)).max() < 2


def test_the_line_of_a_frozen_encoder_is_gone_on_from():
    earlier, later = Cosines(), Cosines()
    earlier.fit_head(np.array([[0.0], [0.1]]), np.array([1.0, 2.0]), np.ones(2))
    later.continue_from(earlier, [5.0, 9.0], Continuation(False))
    started(later, np.array([5.0, 9.0]), outputs=cosines_of([0.0, 0.1]))
    assert later.slope == earlier.slope


def test_the_architecture_stays():
    with pytest.raises(ValueError, match="warm_start=True cannot change the architecture"):
        Similarities().continue_from(Cosines(), None, Continuation(True))
    with pytest.raises(ValueError, match="warm_start=True cannot change the architecture"):
        Cosines().continue_from(Similarities(), None, Continuation(True))
