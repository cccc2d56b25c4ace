"""Folders whose head an estimator cannot use: NotFittedError says why, and fit makes a new head."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sklearn_dl import TextClassifier, clear_sessions
from tests.text.tiny_heads import change_config, tiny_head

TEXTS = [
    "a good film",
    "the bad book was not very good",
    "music",
    "poor plot",
    "one cat xyz",
    "dog",
]
Y = np.array(list("abcabc"))
EXACT = {"precision": "float32", "max_length": 60}
QUICK = {**EXACT, "max_epochs": 1, "random_state": 0}


@pytest.fixture
def changed(tmp_path):
    """A BERT with a head of three classes, which the test may damage."""
    return tiny_head(tmp_path / "changed", "bert", "sequence")


def test_without_a_head_an_error_says_what_is_missing(encoder):
    clf = TextClassifier(encoder)
    message = (
        "^This TextClassifier instance is not fitted yet. Call 'fit' before using it, or set "
        r"`model` to the folder of a model with a head that classifies texts \(transformers' "
        r"AutoModelForSequenceClassification\). model='.*' cannot be used without 'fit': it has no "
        r"such head \(config.json names 'BertModel' as architecture\).$"
    )
    for ask in (clf.predict, clf.predict_proba, clf.transform, lambda X: clf.score(X, Y)):
        with pytest.raises(NotFittedError, match=message.replace("'BertModel'", ".*")):
            ask(TEXTS)
    assert not clf.__sklearn_is_fitted__()
    for name in ("classes_", "device_", "history_", "_predictor"):
        assert not hasattr(clf, name)
    with pytest.raises(NotFittedError):
        check_is_fitted(clf)
    with pytest.raises(NotFittedError, match="neither a folder nor a registered model"):
        TextClassifier("no such model").predict(TEXTS)
    with pytest.raises(ValueError, match="The 'max_length' parameter of TextClassifier"):
        TextClassifier(encoder, max_length=0).predict(TEXTS)


def drop_head(folder):
    state = load_file(folder / "model.safetensors")
    kept = {name: t for name, t in state.items() if "classifier" not in name}
    save_file(kept, folder / "model.safetensors")


def other_shape(folder):
    state = load_file(folder / "model.safetensors")
    state["classifier.weight"] = torch.zeros(5, 32)
    save_file(state, folder / "model.safetensors")


def config(**values):
    return lambda folder: change_config(folder, **values)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(drop_head, "do not contain the head of 'BertForSeq", id="no weights"),
        pytest.param(other_shape, "has 5 outputs, but there must be 3", id="other shape"),
        pytest.param(config(id2label=None), "3 outputs, but there must be 2", id="no labels"),
        pytest.param(
            config(id2label={"0": "a", "1": "b", "2": "a"}), "the label 'a' twice", id="twice"
        ),
        pytest.param(config(id2label={"1": "a", "2": "b", "3": "c"}), "from 0", id="from 1"),
        pytest.param(config(id2label={"0": "a", "1": 1, "2": "c"}), "1, which is not", id="int"),
        pytest.param(config(id2label=[1]), "must number the labels", id="list"),
        pytest.param(config(id2label=None, num_labels="x"), "num_labels='x'", id="num_labels"),
        pytest.param(config(problem_type=[1]), r"problem_type=\[1\]", id="problem type"),
        pytest.param(config(architectures=None), "names nothing as arch", id="no architecture"),
        pytest.param(config(architectures="BertForSequenceClassification"), "nothing", id="str"),
        pytest.param(
            config(architectures=["BertForTokenClassification"]), "'BertForToken", id="other task"
        ),
    ],
)
def test_what_is_not_a_usable_head_is_named_and_not_used(changed, damage, message):
    damage(changed)
    clf = TextClassifier(changed, **QUICK)
    with pytest.raises(NotFittedError, match=message):
        clf.predict(TEXTS)
    assert not clf.__sklearn_is_fitted__()


@pytest.mark.parametrize("damage", [drop_head, config(architectures=None)])
def test_without_a_usable_head_a_new_one_is_fitted(changed, damage):
    damage(changed)
    clf = TextClassifier(changed, **QUICK).fit(TEXTS, Y)
    assert clf._predictor.network.given is None


def test_a_missing_bias_is_an_error(changed):
    state = load_file(changed / "model.safetensors")
    del state["classifier.bias"]
    save_file(state, changed / "model.safetensors")
    with pytest.raises(ValueError, match="its weights lack 1 of the network's tensors, such as"):
        TextClassifier(changed, **EXACT).decision_function(TEXTS)


def test_weights_of_another_size_are_refused(changed):
    state = load_file(changed / "model.safetensors")
    state["classifier.weight"] = torch.zeros(3, 31)
    save_file(state, changed / "model.safetensors")
    with pytest.raises(ValueError, match=r"claims 'classifier\.weight' of shape"):
        TextClassifier(changed, **EXACT).predict(TEXTS)


def test_a_head_that_is_not_linear_is_refused(changed, monkeypatch):
    from transformers import BertForSequenceClassification

    forward = BertForSequenceClassification.forward

    def squared(self, *args, **kwargs):
        outputs = forward(self, *args, **kwargs)
        outputs.logits = outputs.logits**2
        return outputs

    clear_sessions()
    monkeypatch.setattr(BertForSequenceClassification, "forward", squared)
    for ask in (
        lambda clf: clf.predict(TEXTS),
        lambda clf: clf.fit(TEXTS, Y),
    ):
        with pytest.raises(ValueError, match="BertForSequenceClassification is not a linear layer"):
            ask(TextClassifier(changed, **QUICK))
