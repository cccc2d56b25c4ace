"""The conformance suite on estimators whose model folder already has a head."""

import tempfile

import pytest

from sklearn_dl import EntityRecognizer, TextClassifier, TextRegressor
from sklearn_dl.testing import parametrize_with_row_checks, parametrize_with_text_checks
from tests.test_conformance import ENTITIES, text_data
from tests.text.tiny_heads import tiny_head

pytestmark = pytest.mark.slow
# tests are collected before fixtures exist: gone when the process ends
_folder = tempfile.TemporaryDirectory()
QUICK = {"max_length": 32, "precision": "float32", "max_epochs": 1, "random_state": 0}
ENTITY_LABELS = sorted({label for row in ENTITIES for *_, label in row})
TAGS = ["O", *(f"{prefix}-{label}" for label in ENTITY_LABELS for prefix in "BI")]


def head(name, task, labels):
    return str(tiny_head(f"{_folder.name}/{name}", "bert", task, labels))


ON_TEXTS = {
    # the labels of the suite's y
    "TextClassifier": TextClassifier(head("classes", "sequence", ["b", "c", "a"]), **QUICK),
    "TextRegressor": TextRegressor(head("number", "sequence", ["LABEL_0"]), **QUICK),
}
ON_ENTITIES = {
    "EntityRecognizer": EntityRecognizer(head("tags", "token", TAGS), window_overlap=8, **QUICK)
}


def works_before_fit(estimator):
    reason = "with the head of its folder, it predicts before fit"
    return {"check_estimators_unfitted": reason, "check_fitted_estimators_clone": reason}


@parametrize_with_text_checks(ON_TEXTS, n_columns=1, expected_failed_checks=works_before_fit)
def test_estimators_of_texts(estimator, check):
    check(estimator)


@parametrize_with_row_checks(
    ON_ENTITIES, text_data(1).X, ENTITIES, expected_failed_checks=works_before_fit
)
def test_estimators_of_entities(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [ON_TEXTS["TextClassifier"], ON_TEXTS["TextRegressor"]])
def test_their_fits_start_from_the_head(estimator):
    data = text_data(1)
    assert data.fit(estimator)._predictor.network.given is not None
