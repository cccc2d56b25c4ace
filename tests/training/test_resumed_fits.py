"""Fits of a TextClassifier that are killed and run again."""

import os

import numpy as np
import pytest

from sklearn_dl.training import _loop
from tests.training.children import die_at_call, in_child
from tests.training.linear_task import same_bits, tensors_of
from tests.training.reviews import LABELS, TEXTS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


@pytest.fixture(autouse=True)
def _one_thread_and_all_checkpoints(monkeypatch, one_thread):
    monkeypatch.setattr(_loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)


def killed(classifier, step, texts=TEXTS):
    def work():
        _loop._Run.step = die_at_call(step, _loop._Run.step)
        classifier.fit(texts, LABELS)

    assert in_child(work) == -9


def result_of(classifier):
    history = {k: v for k, v in classifier.history_.items() if "second" not in k}
    return tensors_of(classifier._network.live), history, classifier.best_epoch_


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"trainable_layers": 1},
        {"early_stopping": True, "validation_fraction": 6, "n_iter_no_change": 1},
        {"random_state": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("step", [2, 6])
def test_a_killed_fit_ends_with_the_weights_of_a_whole_one(make_classifier, tmp_path, params, step):
    whole = make_classifier(checkpoint_dir=tmp_path / "whole", **params).fit(TEXTS, LABELS)
    classifier = make_classifier(checkpoint_dir=tmp_path / "killed", **params)
    killed(classifier, step)
    assert list((tmp_path / "killed").iterdir())
    classifier.fit(TEXTS, LABELS)
    weights, history, best_epoch = result_of(classifier)
    expected, expected_history, expected_best = result_of(whole)
    assert same_bits(weights, expected)
    assert (history, best_epoch) == (expected_history, expected_best)
    assert history["epoch"] == list(range(1, len(history["epoch"]) + 1))
    assert not list((tmp_path / "killed").iterdir())


def test_a_killed_fit_goes_on_from_its_warm_start(make_classifier, tmp_path):
    def fitted():
        classifier = make_classifier(warm_start=True).fit(TEXTS, LABELS)
        return classifier.set_params(checkpoint_dir=tmp_path)

    whole, classifier = fitted().fit(TEXTS, LABELS), fitted()
    killed(classifier, 7)
    classifier.fit(TEXTS, LABELS)
    assert same_bits(result_of(classifier)[0], result_of(whole)[0])
    assert classifier.history_["epoch"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("params", "difference"),
    [
        ({"learning_rate": 0.01}, "learning_rate"),
        ({"random_state": 1}, "seed"),
        ({"class_weight": "balanced", "max_epochs": 3}, "class_weight, max_epochs"),
    ],
    ids=str,
)
def test_another_fit_does_not_go_on_from_the_checkpoint(
    make_classifier, tmp_path, params, difference
):
    killed(make_classifier(checkpoint_dir=tmp_path), 2)
    (path,) = tmp_path.iterdir()
    other = make_classifier(checkpoint_dir=tmp_path, **params)
    with pytest.raises(ValueError, match=rf"other {difference}\)") as error:
        other.fit(TEXTS, LABELS)
    assert str(path) in str(error.value)
    assert not hasattr(other, "classes_")
    assert path.exists()


@pytest.mark.parametrize("other", ["texts", "labels", "weights"])
def test_other_data_do_not_go_on_from_the_checkpoint(make_classifier, tmp_path, other):
    killed(make_classifier(checkpoint_dir=tmp_path), 2)
    changed = {
        "texts": ([*TEXTS[1:], "a film"], LABELS, None),
        "labels": (TEXTS, LABELS[::-1], None),
        "weights": (TEXTS, LABELS, np.arange(1, 21)),
    }
    with pytest.raises(ValueError, match=r"belongs to another fit \(other data\)"):
        make_classifier(checkpoint_dir=tmp_path).fit(*changed[other])


def test_verbosity_and_the_name_of_the_model_are_no_other_fit(
    make_classifier, tmp_path, encoder, capfd
):
    killed(make_classifier(checkpoint_dir=tmp_path), 6)
    again = make_classifier(checkpoint_dir=tmp_path, verbose=1)
    again.set_params(model=os.path.join(encoder, "")).fit(TEXTS, LABELS)
    out, err = capfd.readouterr()
    assert [line.split(",")[0] for line in out.splitlines()] == ["TextClassifier: epoch 2"]
    assert err == ""
