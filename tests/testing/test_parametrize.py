import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_dl.testing import (
    parametrize_with_image_checks,
    parametrize_with_row_checks,
    parametrize_with_text_checks,
)
from tests.testing.their_estimators import CharacterClassifier, CharacterCounter


def cases(decorator):
    """The pytest parameters that a decorator makes, by their ids."""
    return {case.id: case for case in decorator.mark.args[1]}


def checks_of(decorator):
    return {case.values[1].func.__name__ for case in decorator.mark.args[1]}


def test_ids_are_the_repr_and_the_name_of_the_check():
    ids = cases(parametrize_with_text_checks([CharacterCounter(lowercase=False)]))
    assert "CharacterCounter(lowercase=False)-check_fit_idempotent" in ids


def test_ids_are_the_same_in_every_process():
    ids = cases(parametrize_with_text_checks([FunctionTransformer(lambda X: X)]))
    assert not any("0x" in name for name in ids)


def test_estimators_with_one_repr_have_ids_of_their_own():
    ids = cases(parametrize_with_text_checks([CharacterCounter(), CharacterCounter()]))
    assert {f"CharacterCounter(){n}-check_fit_idempotent" for n in ("", "#2")} <= set(ids)


def test_the_keys_of_a_dict_name_the_tests():
    named = cases(parametrize_with_text_checks({"mine": CharacterCounter()}))
    assert "mine-check_fit_idempotent" in named
    assert all(name.startswith("mine-") for name in named)


def test_expected_failures_are_marked_with_their_reason():
    def expected(estimator):
        assert isinstance(estimator, CharacterCounter)
        return {"check_fit_idempotent": "it counts its fits"}

    made = cases(
        parametrize_with_text_checks({"c": CharacterCounter()}, expected_failed_checks=expected)
    )
    (mark,) = made["c-check_fit_idempotent"].marks
    assert (mark.name, mark.kwargs) == ("xfail", {"reason": "it counts its fits"})
    assert not made["c-check_estimators_pickle"].marks


def test_expected_failures_that_are_not_checks_are_refused():
    with pytest.raises(ValueError, match="'check_nothing', which is not a check"):
        parametrize_with_text_checks(
            [CharacterCounter()], expected_failed_checks=lambda _: {"check_nothing": "why"}
        )


def test_a_class_is_refused():
    with pytest.raises(TypeError, match="CharacterCounter is a class"):
        parametrize_with_text_checks([CharacterCounter])


@pytest.mark.parametrize("n_columns", [0, -1, 1.5, "2", True])
def test_n_columns_is_a_positive_integer(n_columns):
    with pytest.raises(ValueError, match="n_columns"):
        parametrize_with_text_checks([CharacterCounter()], n_columns=n_columns)


@pytest.mark.parametrize("n_columns", [0, 2])
def test_images_have_one_column(n_columns):
    with pytest.raises(ValueError, match="n_columns"):
        parametrize_with_image_checks([CharacterCounter()], n_columns=n_columns)


@pytest.mark.parametrize("X", [["a", "b"], np.zeros((2, 2))], ids=["list", "array"])
def test_three_rows_are_needed(X):
    with pytest.raises(ValueError, match="X has 2 row"):
        parametrize_with_row_checks([CharacterCounter()], X)


@pytest.mark.parametrize("X", [("a", "b", "c"), "abc", None], ids=["tuple", "string", "None"])
def test_rows_of_other_types_are_refused(X):
    with pytest.raises(TypeError, match=f"X is a {type(X).__name__}; pass a list"):
        parametrize_with_row_checks([CharacterCounter()], X)


@pytest.mark.parametrize("y", [[1, 2], [[[1]]] * 3, 1], ids=["too short", "3-D", "number"])
def test_targets_are_one_value_for_each_row(y):
    with pytest.raises(ValueError, match=r"y has shape .*, but X has 3 rows"):
        parametrize_with_row_checks([CharacterCounter()], ["a", "b", "c"], y)


@pytest.mark.parametrize("atol", [-1, "1", None])
def test_atol_is_a_number(atol):
    with pytest.raises(ValueError, match="atol="):
        parametrize_with_text_checks([CharacterCounter()], atol=atol)


@pytest.mark.parametrize("estimators", [[], {}], ids=["list", "dict"])
def test_no_estimators_are_refused(estimators):
    with pytest.raises(ValueError, match="nothing would be checked"):
        parametrize_with_text_checks(estimators)


def test_one_estimator_that_is_not_in_a_list_is_refused():
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())  # it could be iterated
    with pytest.raises(TypeError, match="`estimators` is one Pipeline; pass a list"):
        parametrize_with_text_checks(pipeline)


def test_expected_failed_checks_is_a_function():
    with pytest.raises(TypeError, match="expected_failed_checks must be a function"):
        parametrize_with_text_checks([CharacterCounter()], expected_failed_checks={"a": "b"})
    parametrize_with_text_checks([CharacterCounter()], expected_failed_checks=lambda _: None)


def test_checks_without_rows_run_once_per_class():
    made = cases(parametrize_with_text_checks({"a": CharacterCounter(), "b": CharacterCounter()}))
    assert "a-check_mixin_order" in made
    assert "b-check_mixin_order" not in made
    assert "b-check_fit_idempotent" in made


def test_checks_without_rows_are_left_to_scikit_learn_where_its_suite_runs():
    checks = checks_of(parametrize_with_row_checks([StandardScaler()], np.eye(3)))
    assert "check_mixin_order" not in checks
    assert "check_fit_idempotent" in checks


def test_checks_without_rows_run_for_texts_whatever_the_tags_say():
    checks = checks_of(parametrize_with_text_checks([StandardScaler()]))
    assert "check_mixin_order" in checks
    # scikit-learn's private way to declare parameters
    assert "check_param_validation" in checks
    assert "check_param_validation" not in checks_of(
        parametrize_with_text_checks([CharacterCounter()])
    )


def test_estimators_that_are_not_deterministic_are_not_compared():
    class Random(CharacterCounter):
        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.non_deterministic = True
            return tags

    checks = checks_of(parametrize_with_text_checks([Random()]))
    assert "check_dict_unchanged" in checks
    assert not {"check_fit_idempotent", "check_estimators_pickle"} & checks


def test_the_estimator_decides_which_checks_there_are():
    on_texts = checks_of(parametrize_with_text_checks([CharacterClassifier()]))
    assert {"check_classifiers_classes", "check_sample_weights"} <= on_texts
    assert not {"check_set_output_pandas", "check_regressors_int", "check_n_features_in"} & on_texts
    in_columns = checks_of(parametrize_with_text_checks([CharacterCounter()], n_columns=1))
    assert {"check_set_output_pandas", "check_n_features_in"} <= in_columns
    assert "check_classifiers_classes" not in in_columns
    regressor = checks_of(parametrize_with_row_checks([LinearRegression()], np.eye(3)))
    assert {"check_regressors_int", "check_sample_weights"} <= regressor


def test_pipelines_are_checked_as_what_they_end_with():
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    assert "check_classifiers_classes" in checks_of(parametrize_with_text_checks([pipeline]))
