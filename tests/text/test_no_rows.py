"""Text estimators predict for an X without rows, and load no network for it if possible."""

import numpy as np
import pandas as pd
import pytest

from sklearn_dl import (
    EntityRecognizer,
    QuestionAnswerer,
    SentenceSimilarityRegressor,
    TextClassifier,
    TextEncoder,
    TextRegressor,
    clear_sessions,
)
from sklearn_dl.testing._compare import assert_no_rows_like
from sklearn_dl.text._fitted_text_network import FittedTextNetwork
from tests.text.answers import questions
from tests.text.entities import colors
from tests.text.small_estimators import (
    KINDS,
    TARGETS,
    TEXTS,
    outputs,
    rows_of,
    small_estimator,
    targets_of,
)
from tests.text.tiny_heads import tiny_head

METHODS = [
    *("predict", "predict_proba", "predict_log_proba", "decision_function", "transform"),
    "embed",
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_method(kind, fitted_estimators):
    fitted, rows = fitted_estimators[kind], rows_of(kind)
    for name in METHODS:
        if hasattr(fitted, name):
            method = getattr(fitted, name)
            # a bi-encoder embeds single texts
            some = TEXTS if name == "embed" and kind != "classifier of pairs" else rows
            for no_rows in ([], (), some[:0]):
                assert_no_rows_like(method(no_rows), method(some), name)


def test_pairs_are_two_columns(fitted_estimators):
    fitted = fitted_estimators["bi-encoder"]
    with pytest.raises(ValueError, match=r"expects two columns of texts .*, got 1 column"):
        fitted.predict(np.empty((0, 1), dtype=object))
    with pytest.raises(ValueError, match="expects one column of texts, got 2 columns"):
        fitted.embed(np.empty((0, 2), dtype=object))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "encoder"])
def test_predict_loads_no_network(kind, encoder, fitted_estimators, monkeypatch):
    fitted = fitted_estimators[kind]
    expected = fitted.predict(rows_of(kind))
    clear_sessions()
    monkeypatch.setattr(FittedTextNetwork, "on", lambda *_: pytest.fail("a network is loaded"))
    assert_no_rows_like(fitted.predict([]), expected, "predict")


@pytest.mark.parametrize("missing", [None, "unread"])
def test_masked_rows_do_not_change_the_dtype(encoder, missing):
    clf = TextClassifier(
        encoder, max_length=32, trainable_layers=0, on_error="nan", missing=missing
    )
    clf.fit(TEXTS, np.where(TARGETS > 0, "good", "bad"))
    assert_no_rows_like(clf.predict([]), clf.predict(TEXTS), "predict")


def test_validation_rows_and_later_steps_need_rows(encoder):
    clf = small_estimator("classifier", encoder).set_params(early_stopping=True)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        clf.fit(TEXTS, targets_of("classifier"), X_val=[], y_val=[])
    clf.set_params(early_stopping=False)
    clf.partial_fit(TEXTS, targets_of("classifier"), classes=[0, 1])
    before = outputs(clf, TEXTS)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        clf.partial_fit([], [])
    np.testing.assert_array_equal(outputs(clf, TEXTS), before)


def test_several_targets(encoder):
    params = {"max_length": 32, "trainable_layers": 0}
    for estimator in (TextClassifier(encoder, **params), TextRegressor(encoder, **params)):
        estimator.fit(TEXTS, np.array([[0, 1], [1, 0], [1, 1], [0, 0]] * 3))
        assert_no_rows_like(estimator.predict([]), estimator.predict(TEXTS), "predict")


def test_the_head_of_a_folder(tmp_path):
    clf = TextClassifier(str(tiny_head(tmp_path / "bert", "bert", "sequence")), max_length=60)
    for name in METHODS:
        method = getattr(clf, name)
        assert_no_rows_like(method([]), method(["a good film"]), name)
    answerer = QuestionAnswerer(
        str(tiny_head(tmp_path / "answers", "bert", "answer")), max_length=60, window_overlap=8
    )
    assert answerer.predict([]).shape == (0,)


@pytest.mark.parametrize("X", [colors.TEXTS, colors.WORDS], ids=["texts", "words"])
def test_entities(encoder, X):
    recognizer = EntityRecognizer(
        encoder, max_length=32, window_overlap=8, trainable_layers=0, precision="float32"
    ).fit(X, colors.ENTITIES if X is colors.TEXTS else colors.TAGS)
    for name in ("predict", "predict_tags", "predict_frame"):
        method = getattr(recognizer, name)
        for no_rows in ([], pd.Series([], dtype=object)):
            assert_no_rows_like(method(no_rows), method(X), name)
    labels = pd.Index(["a", "b"])[:0]
    frame = recognizer.predict_frame(pd.Series([], index=labels, dtype=object))
    assert frame["row"].dtype == labels.dtype


def test_a_table_of_no_entities_has_the_dtypes_of_other_tables(encoder):
    recognizer = EntityRecognizer(
        encoder, max_length=32, window_overlap=8, trainable_layers=0, precision="float32"
    ).fit(colors.TEXTS, colors.ENTITIES)
    expected = recognizer.predict_frame(colors.TEXTS)
    assert len(expected)
    assert_no_rows_like(recognizer.predict_frame(["", " "]), expected, "predict_frame")


def test_answers(encoder):
    answerer = questions.quick(encoder).fit(questions.X, questions.Y)
    for no_rows in ([], questions.X[:0]):
        assert_no_rows_like(answerer.predict(no_rows), answerer.predict(questions.X), "predict")
    assert_no_rows_like(answerer.top_k([], 2), answerer.top_k(questions.X, 2), "top_k")


def test_a_cosine_that_was_not_fitted_to_anything(encoder):
    cosine = SentenceSimilarityRegressor(encoder, max_epochs=0, precision="float32", max_length=32)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        cosine.fit([])
    assert cosine.fit(questions.X).predict([]).shape == (0,)


@pytest.mark.slow
@pytest.mark.real
def test_a_real_encoder():
    encoder = TextEncoder().set_output(transform="pandas")
    frame = pd.DataFrame({"text": TEXTS}, index=list("abcdefghijkl"))
    assert_no_rows_like(encoder.transform(frame[:0]), encoder.transform(frame), "transform")
