"""Every check fails for an estimator that has the fault it looks for."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sklearn_dl.testing import _fit, _rows, _targets
from sklearn_dl.testing._data import CheckData, image_data, text_data
from sklearn_dl.testing._parametrize import WITH_ROWS
from tests.testing.their_estimators import (
    CharacterClassifier,
    CharacterCounter,
    CharacterLabels,
    CharacterRegressor,
    CharacterSteps,
)


class ReturnsNothing(CharacterCounter):
    def fit(self, X, y=None):
        super().fit(X, y)


class ChangesAParameter(CharacterCounter):
    def fit(self, X, y=None):
        super().fit(X, y)
        self.lowercase = not self.lowercase
        return self


class AddsAPublicAttribute(CharacterCounter):
    def fit(self, X, y=None):
        self.counts = 1
        return super().fit(X, y)


class CountsItsFits(CharacterCounter):
    def fit(self, X, y=None):
        self.n_fits_ = getattr(self, "n_fits_", 0) + 1
        return super().fit(X, y)

    def transform(self, X):
        return super().transform(X) * self.n_fits_


class RemembersCharacters(CharacterCounter):
    def fit(self, X, y=None):
        known = getattr(self, "characters_", [])
        super().fit(X, y)
        self.characters_ = sorted({*known, *self.characters_})
        return self


class NeedsTwoRows(CharacterCounter):
    def fit(self, X, y=None):
        if len(X) < 2:
            raise ValueError("cannot do that")
        return super().fit(X, y)


class TakesNoRows(CharacterCounter):
    def fit(self, X, y=None):
        return super().fit(X if len(X) else ["text"], y)


class FailsWhenUnfitted(CharacterCounter):
    def transform(self, X):
        return self._counts(self._texts(X, reset=False))


class ForgetsInPickles(CharacterCounter):
    def __getstate__(self):
        state = super().__getstate__()
        if "characters_" in state:
            state = {**state, "characters_": state["characters_"][::-1]}
        return state


class CannotBePickledUnfitted(CharacterCounter):
    def __getstate__(self):
        return {**super().__getstate__(), "characters_": self.characters_}


class ClonesItsState(CharacterCounter):
    def __sklearn_clone__(self):
        cloned = type(self)(self.lowercase)
        vars(cloned).update(vars(self))
        return cloned


class KeepsItsInput(CharacterCounter):
    def transform(self, X):
        self._last = X
        return super().transform(X)


class ReplacesAnArray(CharacterCounter):
    def fit(self, X, y=None):
        self.offset_ = np.zeros(1)
        return super().fit(X, y)

    def transform(self, X):
        self.offset_ = self.offset_ + 1
        return super().transform(X)


class AddsUp(CharacterCounter):
    def transform(self, X):
        return super().transform(X).cumsum(axis=0)


class SubtractsTheMean(CharacterCounter):
    def transform(self, X):
        counts = super().transform(X)
        return counts - counts.mean(axis=0)


class WritesIntoX(CharacterCounter):
    def transform(self, X):
        counts = super().transform(X)
        X[0] = "gone"
        return counts


class WritesIntoY(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        y[0] = y[1]
        return self


class ReadsSeriesByLabel(CharacterCounter):
    def _texts(self, X, reset):
        if hasattr(X, "loc"):
            X = [X.loc[label] if not hasattr(X, "columns") else "x" for label in X.index]
        return super()._texts(X, reset)


class TakesAString(CharacterCounter):
    def _texts(self, X, reset):
        return super()._texts(list(X) if isinstance(X, str) else X, reset)


class TakesADict(CharacterCounter):
    def _texts(self, X, reset):
        return super()._texts(list(X) if isinstance(X, dict) else X, reset)


class TakesAnyColumns(CharacterCounter):
    def transform(self, X):
        return super().transform(X[:, :1])


class HasNoNames(CharacterCounter):
    def _texts(self, X, reset):
        return super()._texts(np.asarray(X, dtype=object), reset)


class HasOtherFitTransform(CharacterCounter):
    def fit_transform(self, X, y=None):
        return self.fit(X, y).transform(X) + 1


class NamesTooFewColumns(CharacterCounter):
    def get_feature_names_out(self, input_features=None):
        return super().get_feature_names_out()[:-1]


class NamesColumnsTwice(CharacterCounter):
    def get_feature_names_out(self, input_features=None):
        return np.full(len(self.characters_), "count", dtype=object)


class IgnoresSetOutput(CharacterCounter, auto_wrap_output_keys=None):
    def set_output(self, *, transform=None):
        return self


class LosesTheIndex(IgnoresSetOutput):
    def transform(self, X):
        return pd.DataFrame(super().transform(X), columns=self.get_feature_names_out())


class PredictsAnotherThanTheMostProbable(CharacterClassifier):
    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmin(axis=1)]


class HasProbabilitiesThatDoNotAddUp(CharacterClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X) * 0.9


class PredictsStrings(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        self.classes_ = np.array([str(label) for label in self.classes_])
        return self


class RefusesOneClassWithoutSayingSo(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        if len(set(y)) == 1:
            raise ValueError("cannot do that")
        return super().fit(X, y, sample_weight)


class PredictsSomethingElseForOneClass(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        if len(set(y)) == 1:
            self.classes_ = np.array(["other"])
            self._learn(X)
            self.model_ = None
            return self
        return super().fit(X, y, sample_weight)

    def predict_proba(self, X):
        return np.ones((len(X), 1)) if self.model_ is None else super().predict_proba(X)


class TakesFractionsAsLabels(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, np.asarray(y).astype(str), sample_weight)


class PredictsAColumn(CharacterRegressor):
    def predict(self, X):
        return super().predict(X)[:, None]


class PredictsTheFirstNumber(CharacterRegressor):
    def predict(self, X):
        predicted = super().predict(X)
        return predicted[:, 0] if predicted.ndim == 2 else predicted


class PredictsLabelsAsIntegers(CharacterLabels):
    def predict(self, X):
        predicted = super().predict(X)
        return predicted.astype(int) if predicted.dtype == bool else predicted


class TakesArraysOfLabelsOnly(CharacterLabels):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y.astype(int) if np.ndim(y) == 2 else y, sample_weight)


class TakesTheFirstOfSeveralClasses(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, np.asarray(y)[:, 0] if np.ndim(y) == 2 else y, sample_weight)


class LearnsInOneStepOnly(CharacterSteps):
    def partial_fit(self, X, y, classes=None):
        return self if hasattr(self, "model_") else super().partial_fit(X, y, classes)


class RoundsWholeTargets(CharacterRegressor):
    def fit(self, X, y):
        super().fit(X, y)
        self.step_ = 1.0 if np.asarray(y).dtype.kind == "i" else 1e-6
        return self

    def predict(self, X):
        return np.round(super().predict(X) / self.step_) * self.step_


class MakesUpTargets(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        y = np.resize(["a", "b"], len(X)) if y is None else np.asarray(y)
        y = np.where(y == y, y, 0) if y.dtype.kind == "f" else y
        y = np.resize(y, len(X))
        counts = self._learn(X)
        self.model_ = LogisticRegression().fit(counts, y != y[0])
        self.classes_ = np.unique(y)[:2]
        return self


class WritesIntoWeights(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        if isinstance(sample_weight, np.ndarray):
            sample_weight /= sample_weight.sum()
        return super().fit(X, y, sample_weight)


class TakesArraysOfWeightsOnly(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, None if sample_weight is None else sample_weight.astype(float))


class IgnoresWeights(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y)


class AppendsToAParameter(CharacterCounter):
    def __init__(self, lowercase=True, stop_words=None):
        super().__init__(lowercase)
        self.stop_words = stop_words

    def fit(self, X, y=None):
        self.stop_words.append("b")
        return super().fit(X, y)


class CountsItsCalls(CharacterCounter):
    def fit(self, X, y=None):
        self.total_ = 0
        return super().fit(X, y)

    def transform(self, X):
        self.total_ += 1
        return super().transform(X)


class AppendsToAnAttribute(CharacterCounter):
    def fit(self, X, y=None):
        self.seen_ = []
        return super().fit(X, y)

    def transform(self, X):
        self.seen_.append(len(X))
        return super().transform(X)


class LooksFittedBeforeFit(CharacterCounter):
    def __sklearn_is_fitted__(self):
        return True

    def transform(self, X):
        if not hasattr(self, "characters_"):
            raise NotFittedError("not fitted")
        return super().transform(X)


class CannotBeFittedAgainFromAPickle(CharacterCounter):
    def __setstate__(self, state):
        super().__setstate__(state)
        self._from_pickle = True

    def fit(self, X, y=None):
        if hasattr(self, "_from_pickle"):
            raise RuntimeError("a copy")
        return super().fit(X, y)


class FailsWithoutRows(CharacterCounter):
    def transform(self, X):
        return super().transform(X) if len(X) else [][0]


class GivesARowForNoRows(CharacterCounter):
    def transform(self, X):
        return super().transform(X if len(X) else ["text"])


class NamesRowsByPosition(CharacterCounter):
    def _texts(self, X, reset):
        try:
            return super()._texts(X, reset)
        except ValueError as error:
            raise ValueError(f"Row 1: {error}") from None


class HasAnotherShapeWithoutRows(CharacterCounter):
    def transform(self, X):
        return super().transform(X) if len(X) else np.empty(0)


class HasAnotherTypeWithoutRows(CharacterCounter):
    def transform(self, X):
        return super().transform(X) if len(X) else np.empty((0, len(self.characters_)), int)


class HasAnotherShapeForFrames(CharacterRegressor):
    def predict(self, X):
        predicted = super().predict(X)
        return predicted[:, None] if hasattr(X, "columns") else predicted


class HasAnotherTypeForFewRows(CharacterCounter):
    def transform(self, X):
        counts = super().transform(X)
        return counts if len(X) > 2 else counts.astype(np.float32)


class ReadsMissingCellsAsText(CharacterCounter):
    def _texts(self, X, reset):
        if isinstance(X, np.ndarray):
            X = np.array([[str(cell) for cell in row] for row in X], dtype=object)
        return super()._texts(X, reset)


class LosesFramesInFitTransform(CharacterCounter, auto_wrap_output_keys=None):
    def set_output(self, *, transform=None):
        self._frames = transform
        return self

    def fit_transform(self, X, y=None):
        return super().transform(super().fit(X, y) and X)

    def transform(self, X):
        counts = super().transform(X)
        if getattr(self, "_frames", None) is None:
            return counts
        frame = pd.DataFrame(counts, columns=self.get_feature_names_out())
        return frame.set_index(X.index)


class HasDecisionsOfTheWrongSign(CharacterClassifier):
    def decision_function(self, X):
        probabilities = self.predict_proba(X)
        decision = -np.log(np.clip(probabilities, 1e-9, None))
        return decision if decision.shape[1] > 2 else decision[:, 1]


class HasNegativeProbabilities(CharacterClassifier):
    def predict_proba(self, X):
        probabilities = super().predict_proba(X)
        probabilities[:, 0] += 1
        probabilities[:, 1] -= 1
        return probabilities


class HasDecisionsBesideItsProbabilities(CharacterClassifier):
    def decision_function(self, X):
        probabilities = self.predict_proba(X)
        return probabilities if probabilities.shape[1] > 2 else np.arange(len(X)) - len(X) / 2


class TakesArraysOfTargetsOnly(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y.copy() if y.ndim == 1 else y, sample_weight)


class ReadsTargetsByLabel(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        if hasattr(y, "loc"):
            y = [np.ravel(y.loc[label])[0] for label in y.index]
        return super().fit(X, y, sample_weight)


class IgnoresValidWeights(CharacterClassifier):
    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        return super().fit(X, y)


# a check, an estimator with the fault it looks for, and what its error says
FAULTS = [
    (_fit.check_estimators_fit_returns_self, ReturnsNothing(), "fit returns None"),
    (_fit.check_estimators_overwrite_params, ChangesAParameter(), r"parameters \['lowercase'\]"),
    (
        _fit.check_estimators_overwrite_params,
        AppendsToAParameter(stop_words=["a"]),
        r"parameters \['stop_words'\]",
    ),
    (_fit.check_dont_overwrite_parameters, AddsAPublicAttribute(), r"attributes \['counts'\]"),
    (_fit.check_fit_idempotent, CountsItsFits(), "after a second fit: transform"),
    (_fit.check_fit_forgets_earlier_rows, RemembersCharacters(), "after a fit on other rows"),
    (
        _fit.check_fit_one_sample,
        NeedsTwoRows(),
        'does not contain "1 sample" or .*: cannot do that',
    ),
    (_fit.check_estimators_empty_data_messages, TakesNoRows(), "fit without rows raises no error"),
    (_fit.check_estimators_empty_data_messages, FailsWithoutRows(), "rows raises IndexError"),
    (_fit.check_estimators_empty_data_messages, GivesARowForNoRows(), "without rows returns 1 row"),
    (_fit.check_estimators_unfitted, FailsWhenUnfitted(), "before fit raises AttributeError"),
    (
        _fit.check_estimators_unfitted,
        LooksFittedBeforeFit(),
        "check_is_fitted before fit raises no",
    ),
    (_fit.check_estimators_pickle, ForgetsInPickles(), "a copy by pickle protocol 2: transform"),
    (_fit.check_estimators_pickle, CannotBeFittedAgainFromAPickle(), "a copy"),
    (_fit.check_unfitted_estimators_pickle, CannotBePickledUnfitted(), "characters_"),
    (_fit.check_fitted_estimators_clone, ClonesItsState(), "clone of a fitted .* raises no error"),
    (_fit.check_dict_unchanged, CountsItsCalls(), r"changes the attributes \['total_'\]"),
    (_fit.check_dict_unchanged, AppendsToAnAttribute(), r"changes the attributes \['seen_'\]"),
    (_fit.check_dict_unchanged, KeepsItsInput(), r"adds or removes the attributes \['_last'\]"),
    (_fit.check_dict_unchanged, ReplacesAnArray(), r"changes the attributes \['offset_'\]"),
    (_fit.check_transformer_general, HasOtherFitTransform(), "fit_transform"),
    (_rows.check_methods_sample_order_invariance, AddsUp(), "rows in another order: transform"),
    (_rows.check_methods_subset_invariance, SubtractsTheMean(), "row 0 alone: transform"),
    (_rows.check_methods_subset_invariance, HasAnotherTypeForFewRows(), "dtype of row 0 alone"),
    (
        _rows.check_methods_on_no_rows,
        HasAnotherShapeWithoutRows(),
        r"shape of a row of transform without rows is \(\), not \(23,\)",
    ),
    (
        _rows.check_set_output_polars,
        HasAnotherTypeWithoutRows(),
        'dtypes of transform after set_output.transform="polars". without rows',
    ),
    (_rows.check_readonly_input, WritesIntoX(), "read-only"),
    (_rows.check_readonly_input, WritesIntoY(), "read-only"),
    (_rows.check_containers_mean_the_same, ReadsSeriesByLabel(), "not a text"),
    (
        _rows.check_containers_mean_the_same,
        HasAnotherShapeForFrames(),
        r"X is a pandas DataFrame: predict\(X\) is \(8, 1\)",
    ),
    (_rows.check_what_is_not_rows, TakesAString(), "fit with X='a string' raises no error"),
    (_rows.check_what_is_not_rows, TakesADict(), "fit with X={'a': 1} raises no error"),
    (_rows.check_missing_cells, ReadsMissingCellsAsText(), "fit with None in row 1 of X raises no"),
    (
        _rows.check_errors_name_the_index,
        NamesRowsByPosition(),
        "transform names row 1 of a frame, but not its label 'label1': Row 1: X contains None",
    ),
    (_rows.check_n_features_in, TakesAnyColumns(), "X with 2 columns raises no error"),
    (_rows.check_dataframe_column_names_consistency, HasNoNames(), "feature_names_in_"),
    (_rows.check_set_output_pandas, IgnoresSetOutput(), 'transform="pandas".* returns a ndarray'),
    (_rows.check_set_output_pandas, LosesFramesInFitTransform(), "^fit_transform after set_output"),
    (_rows.check_set_output_pandas, LosesTheIndex(), "the index of the frame"),
    (_rows.check_set_output_polars, IgnoresSetOutput(), 'transform="polars".* returns a ndarray'),
    (
        _rows.check_transformer_get_feature_names_out,
        NamesTooFewColumns(),
        "22 names for 23 columns",
    ),
    (_rows.check_transformer_get_feature_names_out, NamesColumnsTwice(), "names repeat"),
    (_targets.check_classifiers_train, PredictsAnotherThanTheMostProbable(), "highest probability"),
    (_targets.check_classifiers_train, HasProbabilitiesThatDoNotAddUp(), "the sum of a row"),
    (_targets.check_classifiers_train, HasNegativeProbabilities(), "a probability is negative"),
    (_targets.check_classifiers_train, HasDecisionsOfTheWrongSign(), "highest decision_function"),
    (
        _targets.check_decision_proba_consistency,
        HasDecisionsBesideItsProbabilities(),
        "do not rise with the decision values",
    ),
    (_targets.check_classifiers_classes, PredictsStrings(), "y of booleans: predict returns <U5"),
    (
        _targets.check_classifiers_one_label,
        RefusesOneClassWithoutSayingSo(),
        'does not contain "class"',
    ),
    (_targets.check_classifiers_one_label, PredictsSomethingElseForOneClass(), "of one class"),
    (_targets.check_classifiers_regression_target, TakesFractionsAsLabels(), "fractions as labels"),
    (_targets.check_regressors_train, PredictsAColumn(), r"predict returns shape \(8, 1\)"),
    (_targets.check_regressors_multioutput, PredictsTheFirstNumber(), r"shape \(8,\), y has"),
    (
        _targets.check_classifiers_multilabel,
        PredictsLabelsAsIntegers(),
        "y of bool with 2 labels: predict returns int64",
    ),
    (
        _targets.check_classifiers_multilabel_representation_invariance,
        TakesArraysOfLabelsOnly(),
        "astype",
    ),
    (
        _targets.check_classifiers_multioutput_refused,
        TakesTheFirstOfSeveralClasses(),
        "two columns of classes raises no error",
    ),
    (_targets.check_partial_fit, LearnsInOneStepOnly(), "a second partial_fit changes no result"),
    (_targets.check_regressors_int, RoundsWholeTargets(), r"integers as y: predict\(X\)"),
    (_targets.check_target_containers_mean_the_same, TakesArraysOfTargetsOnly(), "ndim"),
    (_targets.check_target_containers_mean_the_same, ReadsTargetsByLabel(), "y is a pandas Series"),
    (_targets.check_requires_y_none, MakesUpTargets(), "fit with y=None raises no error"),
    (_targets.check_supervised_y_no_nan, MakesUpTargets(), "fit with nan in y raises no error"),
    (_targets.check_consistent_length, MakesUpTargets(), "length differs from X raises no error"),
    (_targets.check_sample_weights, WritesIntoWeights(), "read-only"),
    (_targets.check_sample_weights, TakesArraysOfWeightsOnly(), "astype"),
    (_targets.check_sample_weight_zero, IgnoresValidWeights(), "row 7 with weight 0: predict"),
    (_targets.check_sample_weights_shape, IgnoresWeights(), r"shape \(16,\) raises no error"),
    (_targets.check_all_zero_sample_weights_error, IgnoresWeights(), "weights of 0 only raises no"),
]


def test_every_check_has_a_fault():
    assert {check.__name__ for check, _, _ in FAULTS} == set(WITH_ROWS)


@pytest.mark.parametrize(
    ("check", "faulty", "message"),
    FAULTS,
    ids=[f"{check.__name__}-{type(faulty).__name__}" for check, faulty, _ in FAULTS],
)
def test_a_check_finds_its_fault(check, faulty, message):
    # an AssertionError, or the error that the faulty estimator raises
    with pytest.raises(Exception, match=message):
        check(faulty, data=text_data(1))


def test_data_of_images_and_texts():
    listed, column = image_data(), image_data(1)
    assert [image.shape for image in listed.X] == [(24, 32, 3)] * 8
    assert column.X.shape == (8, 1)
    assert text_data(2).X.shape == (8, 2)
    assert text_data(2).X[1].tolist() == ["bad", "a good film"]


def test_frames_have_an_index_with_repeats():
    frame = text_data(2).frame("pandas")
    assert list(frame.columns) == ["f0", "f1"]
    assert frame.index.tolist() == [50, 3, 3, -1, 9, 7, 8, 50]


def test_targets_suit_the_estimator():
    data = text_data()
    assert data.targets(CharacterClassifier()).tolist() == ["b", "a", "c", "a", "b", "c", "a", "b"]
    assert data.targets(CharacterRegressor()).dtype == float
    given = CheckData(["a", "b", "c"], [1, 2, 3])
    assert given.targets(CharacterClassifier()).tolist() == [1, 2, 3]
