"""Fits of a TextClassifier that are killed and run again."""

import os
import shutil

import numpy as np
import pytest

from sklearn_dl.training import _training_loop
from tests.text.tiny_encoders import tiny_bert
from tests.training.children import die_at_call, in_child
from tests.training.linear_task import same_bits, tensors_of
from tests.training.reviews import LABELS, TEXTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL"),
]


@pytest.fixture(autouse=True)
def _one_thread_and_all_checkpoints(monkeypatch, one_thread):
    monkeypatch.setattr(_training_loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)


def killed(classifier, step, texts=TEXTS, **held_out):
    def work():
        _training_loop._Run.step = die_at_call(step, _training_loop._Run.step)
        classifier.fit(texts, LABELS, **held_out)

    assert in_child(work) == -9


def result_of(classifier):
    history = {k: v for k, v in classifier.history_.items() if "second" not in k}
    return tensors_of(classifier._predictor.network.live), history, classifier.best_epoch_


PARAMS = {
    "defaults": {},
    "one layer": {"trainable_layers": 1},
    "early stopping": {"early_stopping": True, "validation_fraction": 6, "n_iter_no_change": 1},
    "no seed": {"random_state": None},
}


@pytest.fixture(scope="module")
def whole_fit(make_classifier, tmp_path_factory):
    """The results of fits that are not killed, by the names of PARAMS."""
    made = {}

    def result(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("whole")
            whole = make_classifier(checkpoint_dir=folder, **PARAMS[name]).fit(TEXTS, LABELS)
            made[name] = result_of(whole)
        return made[name]

    return result


@pytest.mark.parametrize("name", PARAMS)
@pytest.mark.parametrize("step", [2, 6])
def test_a_killed_fit_ends_with_the_weights_of_a_whole_one(
    make_classifier, whole_fit, tmp_path, name, step
):
    classifier = make_classifier(checkpoint_dir=tmp_path, **PARAMS[name])
    killed(classifier, step)
    assert list(tmp_path.iterdir())
    classifier.fit(TEXTS, LABELS)
    weights, history, best_epoch = result_of(classifier)
    expected, expected_history, expected_best = whole_fit(name)
    assert same_bits(weights, expected)
    assert (history, best_epoch) == (expected_history, expected_best)
    assert history["epoch"] == list(range(1, len(history["epoch"]) + 1))
    assert not list(tmp_path.iterdir())


def test_a_killed_fit_goes_on_from_its_warm_start(make_classifier, tmp_path):
    def fitted():
        classifier = make_classifier(warm_start=True).fit(TEXTS, LABELS)
        return classifier.set_params(checkpoint_dir=tmp_path)

    whole, classifier = fitted().fit(TEXTS, LABELS), fitted()
    killed(classifier, 7)
    classifier.fit(TEXTS, LABELS)
    assert same_bits(result_of(classifier)[0], result_of(whole)[0])
    assert classifier.history_["epoch"] == [1, 2, 3, 4]


@pytest.fixture(scope="module")
def folder_of_a_killed_fit(tmp_path_factory):
    return tmp_path_factory.mktemp("killed")


@pytest.fixture
def checkpoint_dir(make_classifier, folder_of_a_killed_fit, tmp_path):
    """A folder with the checkpoint of a fit that was killed in its third step."""
    if not list(folder_of_a_killed_fit.iterdir()):
        killed(make_classifier(checkpoint_dir=folder_of_a_killed_fit), 2)
    return shutil.copytree(folder_of_a_killed_fit, tmp_path / "checkpoints")


@pytest.mark.parametrize(
    ("params", "difference"),
    [
        ({"learning_rate": 0.01}, "learning_rate"),
        ({"random_state": 1}, "seed"),
        ({"class_weight": "balanced", "max_epochs": 3}, "class_weight, max_epochs"),
    ],
    ids=["learning rate", "seed", "two parameters"],
)
def test_another_fit_does_not_go_on_from_the_checkpoint(
    make_classifier, checkpoint_dir, params, difference
):
    (path,) = checkpoint_dir.iterdir()
    other = make_classifier(checkpoint_dir=checkpoint_dir, **params)
    with pytest.raises(ValueError, match=rf"different {difference}\)") as error:
        other.fit(TEXTS, LABELS)
    assert str(path) in str(error.value)
    assert not hasattr(other, "classes_")
    assert path.exists()


@pytest.mark.parametrize("other", ["texts", "labels", "weights"])
def test_other_data_do_not_go_on_from_the_checkpoint(make_classifier, checkpoint_dir, other):
    changed = {
        "texts": ([*TEXTS[1:], "a film"], LABELS, None),
        "labels": (TEXTS, LABELS[::-1], None),
        "weights": (TEXTS, LABELS, np.arange(1, 21)),
    }
    with pytest.raises(ValueError, match=r"belongs to another fit \(different data\)"):
        make_classifier(checkpoint_dir=checkpoint_dir).fit(*changed[other])


def test_another_encoder_does_not_go_on_from_the_checkpoint(
    make_classifier, checkpoint_dir, tmp_path
):
    other = tiny_bert(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match=r"belongs to another fit \(different model\)"):
        make_classifier(checkpoint_dir=checkpoint_dir).set_params(model=other).fit(TEXTS, LABELS)


def test_other_rows_to_validate_with_do_not_go_on_from_the_checkpoint(make_classifier, tmp_path):
    classifier = make_classifier(checkpoint_dir=tmp_path, early_stopping=True)
    held_out = {"X_val": TEXTS[:6], "y_val": LABELS[:6]}
    killed(classifier, 6, **held_out)
    changed = [{"y_val": ["no"] * 6}, {"X_val": TEXTS[6:12]}, {"sample_weight_val": [2] * 6}]
    for other in changed:
        with pytest.raises(ValueError, match=r"belongs to another fit \(different data\)"):
            classifier.fit(TEXTS, LABELS, **held_out | other)
    classifier.fit(TEXTS, LABELS, **held_out)


def test_a_fit_from_other_weights_does_not_go_on_from_the_checkpoint(make_classifier, tmp_path):
    def fitted(seed):
        classifier = make_classifier(warm_start=True, random_state=seed).fit(TEXTS, LABELS)
        return classifier.set_params(checkpoint_dir=tmp_path, random_state=0)

    killed(fitted(0), 6)
    with pytest.raises(ValueError, match=r"belongs to another fit \(different start\)"):
        fitted(1).fit(TEXTS, LABELS)


def test_a_precision_goes_by_what_auto_means_here(make_classifier, tmp_path):
    classifier = make_classifier(checkpoint_dir=tmp_path, precision="auto")
    killed(classifier, 6)
    here = classifier._where().resolved().precision
    other = {"float32": "bfloat16", "bfloat16": "float32"}[here]
    with pytest.raises(ValueError, match=r"belongs to another fit \(different precision\)"):
        classifier.set_params(precision=other).fit(TEXTS, LABELS)
    classifier.set_params(precision=here).fit(TEXTS, LABELS)
    assert not list(tmp_path.iterdir())


def test_verbosity_and_the_name_of_the_model_do_not_make_another_fit(
    make_classifier, tmp_path, encoder, capfd
):
    killed(make_classifier(checkpoint_dir=tmp_path), 6)
    again = make_classifier(checkpoint_dir=tmp_path, verbose=1)
    again.set_params(model=os.path.join(encoder, "")).fit(TEXTS, LABELS)
    out, err = capfd.readouterr()
    assert [line.split(",")[0] for line in out.splitlines()] == ["TextClassifier: epoch 2"]
    assert "TextClassifier: training: 100%" in err


def test_a_checkpoint_is_of_a_fit_that_keeps_its_head_or_makes_one(make_classifier, tmp_path):
    def fitted(*layers):
        classifier = make_classifier(warm_start=True)
        for n_layers in layers:
            classifier.set_params(trainable_layers=n_layers).fit(TEXTS, LABELS)
        return classifier.set_params(checkpoint_dir=tmp_path, trainable_layers="all")

    killed(fitted("all"), 2)
    with pytest.raises(ValueError, match=r"belongs to another fit \(different start\)"):
        fitted("all", 0).fit(TEXTS, LABELS)
