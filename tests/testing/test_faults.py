"""Every check fails for an estimator that has the fault it looks for."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_dl.testing import _fit, _rows, _targets
from sklearn_dl.testing._data import CheckData, image_data, text_data
from tests.testing.their_estimators import (
    CharacterClassifier,
    CharacterCounter,
    CharacterRegressor,
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
        import pandas as pd

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


FAULTS = [
    (_fit.check_estimators_fit_returns_self, ReturnsNothing),
    (_fit.check_estimators_overwrite_params, ChangesAParameter),
    (_fit.check_dont_overwrite_parameters, AddsAPublicAttribute),
    (_fit.check_fit_idempotent, CountsItsFits),
    (_fit.check_fit_forgets_earlier_rows, RemembersCharacters),
    (_fit.check_fit_one_sample, NeedsTwoRows),
    (_fit.check_estimators_empty_data_messages, TakesNoRows),
    (_fit.check_estimators_unfitted, FailsWhenUnfitted),
    (_fit.check_estimators_pickle, ForgetsInPickles),
    (_fit.check_unfitted_estimators_pickle, CannotBePickledUnfitted),
    (_fit.check_fitted_estimators_clone, ClonesItsState),
    (_fit.check_dict_unchanged, KeepsItsInput),
    (_fit.check_dict_unchanged, ReplacesAnArray),
    (_fit.check_transformer_general, HasOtherFitTransform),
    (_rows.check_methods_sample_order_invariance, AddsUp),
    (_rows.check_methods_subset_invariance, SubtractsTheMean),
    (_rows.check_readonly_input, WritesIntoX),
    (_rows.check_readonly_input, WritesIntoY),
    (_rows.check_containers_mean_the_same, ReadsSeriesByLabel),
    (_rows.check_what_is_not_rows, TakesAString),
    (_rows.check_what_is_not_rows, TakesADict),
    (_rows.check_n_features_in, TakesAnyColumns),
    (_rows.check_dataframe_column_names_consistency, HasNoNames),
    (_rows.check_set_output_pandas, IgnoresSetOutput),
    (_rows.check_set_output_pandas, LosesTheIndex),
    (_rows.check_set_output_polars, IgnoresSetOutput),
    (_rows.check_transformer_get_feature_names_out, NamesTooFewColumns),
    (_rows.check_transformer_get_feature_names_out, NamesColumnsTwice),
    (_targets.check_classifiers_train, PredictsAnotherThanTheMostProbable),
    (_targets.check_classifiers_train, HasProbabilitiesThatDoNotAddUp),
    (_targets.check_classifiers_classes, PredictsStrings),
    (_targets.check_classifiers_one_label, RefusesOneClassWithoutSayingSo),
    (_targets.check_classifiers_one_label, PredictsSomethingElseForOneClass),
    (_targets.check_classifiers_regression_target, TakesFractionsAsLabels),
    (_targets.check_regressors_train, PredictsAColumn),
    (_targets.check_regressors_int, RoundsWholeTargets),
    (_targets.check_requires_y_none, MakesUpTargets),
    (_targets.check_supervised_y_no_nan, MakesUpTargets),
    (_targets.check_consistent_length, MakesUpTargets),
    (_targets.check_sample_weights, WritesIntoWeights),
    (_targets.check_sample_weights, TakesArraysOfWeightsOnly),
    (_targets.check_sample_weights_shape, IgnoresWeights),
    (_targets.check_all_zero_sample_weights_error, IgnoresWeights),
]
EVERY_CHECK = {
    name for module in (_fit, _rows, _targets) for name in vars(module) if name.startswith("check_")
}


def test_every_check_has_a_fault():
    assert {check.__name__ for check, _ in FAULTS} == EVERY_CHECK


@pytest.mark.parametrize(
    ("check", "faulty"), FAULTS, ids=[f"{c.__name__}-{f.__name__}" for c, f in FAULTS]
)
def test_a_check_finds_its_fault(check, faulty):
    # the estimator that `faulty` derives from keeps the rule (test_checks.py), so it is the fault
    with pytest.raises((AssertionError, AttributeError, ValueError, TypeError)):
        check(faulty(), data=text_data(1))


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
