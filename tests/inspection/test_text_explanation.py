"""TextExplanationDisplay: effects of words, on estimators whose answer is known."""

import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, LinearSVC

from sklearn_dl import TextClassifier
from sklearn_dl.inspection import TextExplanationDisplay
from tests.text.tiny_encoders import WORDS, tiny_bert

mpl.use("Agg")
WEIGHTS = {"great": 3.0, "good": 1.0, "bad": -1.0, "awful": -3.0}
TEXT = "the great plot, a good film, a bad end: awful"
WORDS_OF_TEXT = ["the", "great", "plot", "a", "good", "film", "a", "bad", "end", "awful"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


class KnownWords(ClassifierMixin, BaseEstimator):
    """P(class "yes") is linear in the weights of the words, and notes the texts of each call."""

    def fit(self, X, y=None):
        self.classes_ = np.array(["no", "yes"])
        self.calls_ = []
        return self

    def predict_proba(self, X):
        self.calls_.append(list(X))
        sums = [sum(WEIGHTS.get(word.strip(",:"), 0) for word in text.split()) for text in X]
        yes = 0.5 + np.array(sums) / 20
        return np.column_stack([1 - yes, yes])


def effects_of(display, row=0):
    return dict(
        zip(
            [display.texts[row][start:end] for start, end in display.words[row]],
            display.effects[row],
            strict=True,
        )
    )


def test_effects_are_the_weights_of_the_words():
    display = TextExplanationDisplay.from_estimator(
        KnownWords().fit(None), [TEXT], class_of_interest="yes"
    )
    assert [TEXT[start:end] for start, end in display.words[0]] == WORDS_OF_TEXT
    expected = [WEIGHTS.get(word, 0) / 20 for word in WORDS_OF_TEXT]
    np.testing.assert_allclose(display.effects[0], expected, atol=1e-12)
    assert display.scores == pytest.approx([0.5])
    opposite = TextExplanationDisplay.from_estimator(
        KnownWords().fit(None), [TEXT], class_of_interest="no"
    )
    np.testing.assert_allclose(opposite.effects[0], np.negative(expected), atol=1e-12)


def test_each_row_has_its_own_class():
    display = TextExplanationDisplay.from_estimator(
        KnownWords().fit(None), ["great film", "awful film"]
    )
    assert display.labels.tolist() == ["yes", "no"]
    assert effects_of(display, 0) == pytest.approx({"great": 0.15, "film": 0})
    assert effects_of(display, 1) == pytest.approx({"awful": 0.15, "film": 0})


def test_a_word_leaves_no_second_space():
    clf = KnownWords().fit(None)
    TextExplanationDisplay.from_estimator(clf, ["one two's end-of, three"])
    assert [text for call in clf.calls_[1:] for text in call] == [
        "two's end-of, three",
        "one end-of, three",
        "one two's, three",
        "one two's end-of,",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी अच्छी फिल्म।", ["हिन्दी", "अच्छी", "फिल्म।"]),
        (
            "un cafe\u0301, s'il vous plai\u0302t",
            ["un", "cafe\u0301", "s'il", "vous", "plai\u0302t"],
        ),
        ("well-known \U0001f600! (my_name, 50%)", ["well-known", "\U0001f600", "my_name", "50"]),
        ("“don\u2019t” … 好\uff0c電影", ["don\u2019t", "好", "電影"]),
    ],
)
def test_words(text, words):
    display = TextExplanationDisplay.from_estimator(KnownWords().fit(None), [text])
    assert [text[start:end] for start, end in display.words[0]] == words


def test_pairs_of_classes_are_refused():
    svm = SVC(kernel="linear", decision_function_shape="ovo")
    clf = make_pipeline(CountVectorizer(), svm).fit(["red", "green", "blue"] * 3, list("rgb") * 3)
    with pytest.raises(TypeError, match="compares pairs of classes"):
        TextExplanationDisplay.from_estimator(clf, ["red"])
    svm.set_params(decision_function_shape="ovr")
    assert TextExplanationDisplay.from_estimator(clf, ["red"]).labels.tolist() == ["r"]


def test_columns_of_y_with_one_or_three_values():
    y = np.column_stack([LABELS, np.ones(12, int)])
    clf = make_pipeline(CountVectorizer(), RandomForestClassifier(5, random_state=0)).fit(TEXTS, y)
    display = TextExplanationDisplay.from_estimator(clf, ["good film"], class_of_interest=1)
    assert display.scores.tolist() == [1.0]
    clf.fit(TEXTS, np.column_stack([LABELS, [0, 1, 2] * 4]))
    with pytest.raises(TypeError, match="Column 1 of y has 3 classes"):
        TextExplanationDisplay.from_estimator(clf, ["good film"])


def test_characters_and_sentences_instead_of_words():
    by_character = TextExplanationDisplay.from_estimator(
        KnownWords().fit(None), ["好電影"], token_pattern=r"\w"
    )
    assert by_character.words[0] == [(0, 1), (1, 2), (2, 3)]
    by_sentence = TextExplanationDisplay.from_estimator(
        KnownWords().fit(None), ["great, good. awful end"], token_pattern=r"[^.]+"
    )
    assert len(by_sentence.effects[0]) == 2


def test_batches_of_at_most_1024_texts():
    clf = KnownWords().fit(None)
    display = TextExplanationDisplay.from_estimator(clf, ["word " * 600] * 5 + [""])
    assert [len(call) for call in clf.calls_] == [6, 1024, 1024, 952]
    assert [len(effects) for effects in display.effects] == [600] * 5 + [0]


def test_long_texts_come_in_smaller_batches():
    clf = KnownWords().fit(None)
    TextExplanationDisplay.from_estimator(clf, ["w" * 2**22 + " b" * 4])
    assert max(len(call) for call in clf.calls_) == 1


TEXTS = ["good film", "great book", "bad film", "awful book"] * 3
LABELS = [1, 1, 0, 0] * 3


@pytest.mark.parametrize(
    "clf",
    [
        make_pipeline(CountVectorizer(), LogisticRegression()),
        make_pipeline(CountVectorizer(), LinearSVC()),
        GridSearchCV(make_pipeline(CountVectorizer(), LogisticRegression()), {}, cv=2),
    ],
    ids=["probabilities", "decision function", "search"],
)
def test_classifiers_of_scikit_learn(clf):
    clf.fit(TEXTS, LABELS)
    display = TextExplanationDisplay.from_estimator(clf, ["good film", "awful film"])
    assert display.labels.tolist() == [1, 0]
    for row, word in enumerate(["good", "awful"]):
        effects = effects_of(display, row)
        assert effects[word] > 0.1
        assert abs(effects["film"]) < effects[word] / 10
    again = TextExplanationDisplay.from_estimator(clf, ["good film", "awful film"])
    for effects, same in zip(display.effects, again.effects, strict=True):
        np.testing.assert_array_equal(effects, same)


def test_response_method():
    clf = make_pipeline(CountVectorizer(), LogisticRegression(C=100)).fit(TEXTS, LABELS)
    explain = TextExplanationDisplay.from_estimator
    display = explain(clf, ["good film"], response_method="decision_function", class_of_interest=0)
    names = clf[0].get_feature_names_out().tolist()
    expected = {word: -clf[1].coef_[0, names.index(word)] for word in ("good", "film")}
    assert effects_of(display) == pytest.approx(expected)
    svm = make_pipeline(CountVectorizer(), LinearSVC()).fit(TEXTS, LABELS)
    with pytest.raises(TypeError, match="lacks classes_ or predict_proba: there is no score"):
        explain(svm, ["good film"], response_method="predict_proba")
    with pytest.raises(ValueError, match="response_method='predict' must be 'auto' or one of"):
        explain(clf, ["good film"], response_method="predict")


def test_a_regressor():
    class Sum(RegressorMixin, BaseEstimator):
        def fit(self, X, y=None):
            self.fitted_ = True
            return self

        def predict(self, X):
            return [sum(WEIGHTS.get(word, 0) for word in text.split()) for text in X]

    display = TextExplanationDisplay.from_estimator(Sum().fit(None), ["great bad"])
    assert display.labels is None
    assert effects_of(display) == {"great": 3.0, "bad": -1.0}
    assert display.plot().labels_[0].get_text() == "2"
    ridge = make_pipeline(CountVectorizer(), Ridge()).fit(TEXTS, LABELS)
    assert effects_of(TextExplanationDisplay.from_estimator(ridge, ["good film"]))["good"] > 0


@pytest.mark.parametrize(
    "last",
    [
        MultiOutputClassifier(LogisticRegression()),
        OneVsRestClassifier(LogisticRegression()),
        Ridge(0.01),
    ],
)
def test_several_labels_or_targets(last):
    is_film = ["film" in text for text in TEXTS]
    clf = make_pipeline(CountVectorizer(), last).fit(TEXTS, np.column_stack([LABELS, is_film]))
    display = TextExplanationDisplay.from_estimator(clf, ["good film"], class_of_interest=1)
    assert display.labels.tolist() == [1]
    assert effects_of(display)["film"] > 1.5 * abs(effects_of(display)["good"])
    with pytest.raises(ValueError, match=r"=2 is not one of \[0, 1\], the (pos|cla)"):
        TextExplanationDisplay.from_estimator(clf, ["good film"], class_of_interest=2)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_one_column_of_a_table(frame):
    X = frame({"n": [1.0, 2.0] * 6, "text": TEXTS})
    if frame is pd.DataFrame:
        X.index = range(5, 17)
    clf = make_pipeline(
        make_column_transformer((CountVectorizer(), "text"), ("passthrough", ["n"])),
        LogisticRegression(),
    ).fit(X, LABELS)
    display = TextExplanationDisplay.from_estimator(clf, X[:3], column="text")
    effects = effects_of(display)
    assert effects["good"] > 0.1 > abs(effects["film"])
    with pytest.raises(ValueError, match=r"X has 2 columns: .* as `column`"):
        TextExplanationDisplay.from_estimator(clf, X)
    with pytest.raises(ValueError, match=r"column='t' is not a column of X; X has"):
        TextExplanationDisplay.from_estimator(clf, X, column="t")
    with pytest.raises(ValueError, match="column=2 is not one of the 2 columns of X"):
        TextExplanationDisplay.from_estimator(clf, X, column=2)
    for column in (["text"], 1.0, True):
        with pytest.raises(ValueError, match="must be the name or the position of one column"):
            TextExplanationDisplay.from_estimator(clf, X, column=column)


@pytest.mark.parametrize("names", [[0, 1], [("a", "n"), ("a", "text")]])
def test_names_that_are_not_texts(names):
    X = pd.DataFrame({"n": [1.0, 2.0] * 6, "text": TEXTS})
    X.columns = pd.Index(names)
    clf = make_pipeline(
        make_column_transformer((CountVectorizer(), 1), ("passthrough", [0])), LogisticRegression()
    ).fit(X, LABELS)
    effects = effects_of(TextExplanationDisplay.from_estimator(clf, X[:3], column=1))
    assert effects["good"] > 0.1 > abs(effects["film"])


def test_the_name_of_a_series():
    clf = make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, LABELS)
    X = pd.Series(TEXTS, name="text")
    display = TextExplanationDisplay.from_estimator(clf, X, column="text")
    assert len(display.texts) == 12
    with pytest.raises(ValueError, match=r"column='t' is not a column of X; X has \['text'\]"):
        TextExplanationDisplay.from_estimator(clf, X, column="t")
    with pytest.raises(ValueError, match="the columns of X have no names"):
        TextExplanationDisplay.from_estimator(clf, TEXTS, column="text")


def test_a_vectorizer_that_reads_the_names_of_columns():
    clf = make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match=r"returns 1 row for 2 rows of X.* as in X\[\"text\"\]"):
        TextExplanationDisplay.from_estimator(clf, pd.DataFrame({"text": TEXTS[:2]}))


def test_a_prediction_that_is_missing_without_a_word():
    class Missing(KnownWords):
        def predict_proba(self, X):
            empty = np.array([not text for text in X])
            return np.where(empty[:, None], np.nan, super().predict_proba(X))

    with pytest.raises(ValueError, match="Row 1: the estimator predicts NaN if a part of the row"):
        TextExplanationDisplay.from_estimator(Missing().fit(None), ["a film", "good"])


@pytest.mark.parametrize(
    "container", [pd.Series, pl.Series, np.array, tuple, lambda texts: np.array(texts)[:, None]]
)
def test_containers(container):
    clf = make_pipeline(make_column_transformer((CountVectorizer(), 0)), LogisticRegression())
    if container not in (pd.Series, pl.Series, tuple) and container is not np.array:
        clf.fit(container(TEXTS), LABELS)
    else:
        clf = make_pipeline(CountVectorizer(), LogisticRegression()).fit(container(TEXTS), LABELS)
    display = TextExplanationDisplay.from_estimator(clf, container(["good film", "awful film"]))
    assert effects_of(display)["good"] > 0.1


def test_a_text_classifier_of_this_package(tmp_path):
    clf = TextClassifier(
        tiny_bert(tmp_path), trainable_layers=0, max_length=32, precision="float32"
    )
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS[5:], 4)) for _ in range(20)]
    clf.fit(texts, ["good" in text or "red" in text for text in texts])
    explained = TextExplanationDisplay.from_estimator(clf, texts[:2])
    whole = clf.predict_proba(texts[:2])
    np.testing.assert_allclose(explained.scores, whole.max(axis=1), atol=1e-6)
    for row in range(2):
        words = texts[row].split()
        column = whole[row].argmax()
        for i, effect in enumerate(explained.effects[row]):
            without = " ".join(words[:i] + words[i + 1 :])
            rest = clf.predict_proba([without])[0, column]
            assert effect == pytest.approx(whole[row, column] - rest, abs=1e-6)


def test_plots_and_html():
    display = TextExplanationDisplay.from_estimator(
        KnownWords().fit(None), [TEXT, "no <word> matters"], class_of_interest="yes"
    )
    display.plot()
    labels = [label.get_text() for label in display.labels_]
    assert labels == ["yes 0.50", "+0.15", "-0.15", "yes 0.50"]
    colors = [mpl.colors.to_hex(box.get_facecolor()) for box in display.boxes_]
    assert colors == ["#ff7f0e", "#ff7f0e", "#1f77b4", "#1f77b4"]
    opacities = [box.get_alpha() for box in display.boxes_]
    assert opacities == pytest.approx([0.6, 0.2, 0.2, 0.6])
    assert "".join(text.get_text() for text in display.texts_).startswith("the great plot")
    html = display._repr_html_()
    assert html.count("<mark") == 4
    assert "&lt;word&gt;" in html
    assert 'title="+0.05" style="background: #ff7f0e33;' in html
    ax = plt.figure().add_subplot()
    assert TextExplanationDisplay.from_estimator(KnownWords().fit(None), ["a"], ax=ax).ax_ is ax


@pytest.mark.slow
def test_nothing_is_colored_where_nothing_matters():
    display = TextExplanationDisplay.from_estimator(KnownWords().fit(None), ["a b c"])
    assert display.plot().boxes_ == []
    display.effects = [np.array([1e-9, -1e-9, 1e-9])]
    assert display.plot().boxes_ == []


def test_bad_input():
    clf = KnownWords().fit(None)
    explain = TextExplanationDisplay.from_estimator
    with pytest.raises(ValueError, match=r"Row 1: None is not a text"):
        explain(clf, ["a", None])
    with pytest.raises(ValueError, match=r"0 sample\(s\) .* required by KnownWords"):
        explain(clf, [])
    with pytest.raises(ValueError, match="wrap it in a list"):
        explain(clf, "a text")
    with pytest.raises(ValueError, match=r"='maybe' is not one of \['no', 'yes'\]"):
        explain(clf, ["a"], class_of_interest="maybe")
    with pytest.raises(NotFittedError):
        explain(make_pipeline(CountVectorizer(), LogisticRegression()), ["a"])
    with pytest.raises(
        TypeError, match="CountVectorizer is not a regressor, and lacks classes_ or"
    ):
        explain(CountVectorizer().fit(["a word"]), ["a"])


def test_a_prediction_of_nan_is_an_error():
    class Nan(KnownWords):
        def predict_proba(self, X):
            return np.where([["b" in text] * 2 for text in X], np.nan, 0.5)

    with pytest.raises(ValueError, match="Row 1: the estimator predicts NaN"):
        TextExplanationDisplay.from_estimator(Nan().fit(None), ["a", "b"])


def test_missing_matplotlib(monkeypatch):
    display = TextExplanationDisplay.from_estimator(KnownWords().fit(None), ["great"])
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn-dl\[demo\]"'):
        display.plot()
