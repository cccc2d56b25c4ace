"""Folders that already have a head: predictions without fit, and fits that start from it."""

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import load_file, save_file
from scipy.special import expit, log_softmax, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from sklearn_dl import TextClassifier, TextEncoder, TextRegressor, clear_sessions
from sklearn_dl.training import _training_loop
from tests.text.tiny_encoders import KINDS
from tests.text.tiny_heads import change_config, own_outputs, tiny_head

TEXTS = [
    "a good film",
    "the bad book was not very good",
    "music",
    "poor plot",
    "one cat xyz",
    "dog",
]
OTHERS = [*TEXTS[1:], TEXTS[0]]
PAIRS = list(zip(TEXTS, OTHERS, strict=True))
Y = np.array(list("abcabc"))
EXACT = {"precision": "float32", "max_length": 60}
QUICK = {**EXACT, "max_epochs": 1, "random_state": 0}
# the labels of tiny_head, sorted
ORDER = [1, 2, 0]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("heads")
    return {kind: str(tiny_head(root / kind, kind, "sequence")) for kind in KINDS}


@pytest.fixture(scope="module")
def folder(folders):
    """A BERT with a head of three classes, which no test changes."""
    return folders["bert"]


@pytest.fixture
def changed(folder, tmp_path):
    """A copy of `folder` that the test may change."""
    return shutil.copytree(folder, tmp_path / "changed")


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A BERT with a head of one number."""
    return str(
        tiny_head(tmp_path_factory.mktemp("heads") / "numbers", "bert", "sequence", ["LABEL_0"])
    )


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """A BERT with a head of several labels."""
    path = tmp_path_factory.mktemp("heads") / "labels"
    return str(tiny_head(path, "bert", "sequence", problem_type="multi_label_classification"))


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_those_of_transformers(folders, kind):
    clf = TextClassifier(folders[kind], **EXACT)
    expected = own_outputs(folders[kind], TEXTS).logits.numpy()[:, ORDER]
    assert np.ptp(expected, axis=0).min() > 1e-3
    assert_allclose(clf.predict_proba(TEXTS), softmax(expected, axis=1), atol=1e-5)
    assert_allclose(clf.decision_function(TEXTS), expected, atol=1e-5)
    assert clf.classes_.tolist() == ["a", "b", "c"]
    assert_array_equal(clf.predict(TEXTS), clf.classes_[expected.argmax(1)])
    one_by_one = [clf.predict_proba([text])[0] for text in TEXTS]
    assert_allclose(one_by_one, softmax(expected, axis=1), atol=1e-5)
    expected = own_outputs(folders[kind], TEXTS, OTHERS).logits.numpy()[:, ORDER]
    assert_allclose(clf.predict_proba(PAIRS), softmax(expected, axis=1), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_training_starts_from_the_head(folders, kind):
    # a learning rate that is too small to change the weights visibly
    clf = TextClassifier(folders[kind], **QUICK, learning_rate=1e-12, batch_size=6)
    expected = clf.predict_proba(TEXTS)
    assert_allclose(clf.fit(TEXTS, Y).predict_proba(TEXTS), expected, atol=1e-6)
    moved = clone(clf).set_params(learning_rate=1e-2).fit(TEXTS, Y)
    assert np.abs(moved.predict_proba(TEXTS) - expected).max() > 1e-3
    copied = pickle.loads(pickle.dumps(moved))
    clear_sessions()
    assert_array_equal(copied.predict_proba(TEXTS), moved.predict_proba(TEXTS))


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_layers_and_the_head_are_trained(folders, kind):
    clf = TextClassifier(folders[kind], trainable_layers=1, **QUICK).fit(TEXTS, Y)
    live = clf._predictor.network.live
    trained = {name for name, p in live.named_parameters() if p.requires_grad}
    assert {"head.weight", "head.bias"} < trained
    assert not any("embeddings" in name or ".0." in name for name in trained)
    base = {id(p) for p in live.encoder.base_model.parameters()}
    after = {n for n, p in live.encoder.named_parameters() if id(p) not in base}
    pooler = {n for n, _ in live.encoder.named_parameters() if "pooler" in n}
    assert {f"encoder.{name}" for name in after | pooler} < trained


def first_loss(clf, X, y):
    """The loss of the one batch of an epoch, before the optimiser changes the network."""
    return clf.set_params(batch_size=len(X), max_epochs=1).fit(X, y).history_["train_loss"][0]


def test_the_first_loss_is_that_of_the_head(changed):
    change_config(changed, hidden_dropout_prob=0.0)
    clf = TextClassifier(changed, **QUICK)
    of_head = -log_softmax(clf.decision_function(TEXTS), axis=1)[np.arange(6), [0, 1, 2] * 2].mean()
    assert first_loss(clf, TEXTS, Y) == pytest.approx(of_head, abs=1e-5)
    # the labels differ: the head is new, and fitted to these rows
    assert first_loss(clone(clf), TEXTS, np.array(list("xyzxyz"))) < of_head - 0.1
    assert first_loss(clone(clf), TEXTS[:5], np.array(list("ababa"))) < of_head - 0.1


def without_head(folder, target):
    """A copy of `folder` whose config does not name the head."""
    copied = shutil.copytree(folder, target)
    change_config(copied, architectures=["BertModel"])
    return copied


@pytest.mark.parametrize(
    ("params", "y"),
    [
        pytest.param({"trainable_layers": 0}, Y, id="frozen"),
        pytest.param({}, [0, 1, 2] * 2, id="other labels"),
    ],
)
def test_a_new_head_is_fitted_as_if_there_were_none(folder, tmp_path, params, y):
    plain = without_head(folder, tmp_path / "plain")
    made = TextClassifier(folder, **QUICK, **params).fit(TEXTS, y)
    expected = TextClassifier(plain, **QUICK, **params).fit(TEXTS, y)
    assert_array_equal(made.predict_proba(TEXTS), expected.predict_proba(TEXTS))
    assert_array_equal(made.transform(TEXTS), expected.transform(TEXTS))
    assert made._predictor.network.given is None


def test_labels_of_other_types_are_compared_by_value(folder):
    for y in (Y.astype(object), Y.tolist()):
        clf = TextClassifier(folder, **QUICK).fit(TEXTS, y)
        assert clf._predictor.network.given is not None


def test_default_labels(changed):
    change_config(changed, id2label=None)
    state = load_file(changed / "model.safetensors")
    state |= {
        f"classifier.{name}": state[f"classifier.{name}"][:2].clone() for name in ("weight", "bias")
    }
    save_file(state, changed / "model.safetensors")
    assert TextClassifier(changed).classes_.tolist() == ["LABEL_0", "LABEL_1"]
    assert TextClassifier(changed, **EXACT).decision_function(TEXTS).shape == (6,)


def test_partial_fit_starts_from_the_head(folder):
    clf = TextClassifier(folder, **QUICK, learning_rate=1e-12)
    expected = clf.predict_proba(TEXTS)
    with pytest.raises(ValueError, match="classes must be passed in the first call"):
        clf.partial_fit(TEXTS, Y)
    clf.partial_fit(TEXTS[:2], Y[:2], classes=["c", "b", "a"])
    assert_allclose(clf.predict_proba(TEXTS), expected, atol=1e-6)
    clf.partial_fit(TEXTS, Y)
    assert_allclose(clf.predict_proba(TEXTS), expected, atol=1e-6)
    other = clone(clf).partial_fit(TEXTS, Y, classes=list("abcd"))
    assert other.predict_proba(TEXTS).shape == (6, 4)


def test_warm_start_begins_with_the_head(folder):
    clf = TextClassifier(folder, **QUICK, warm_start=True, learning_rate=1e-12)
    expected = clf.predict_proba(TEXTS)
    for _ in range(2):
        assert_allclose(clf.fit(TEXTS, Y).predict_proba(TEXTS), expected, atol=1e-6)
    assert clf.history_["epoch"] == [1, 2]
    assert_allclose(clf.fit(TEXTS[:2], Y[:2]).predict_proba(TEXTS), expected, atol=1e-6)


def test_numbers(numbers):
    model = TextRegressor(numbers, **EXACT)
    expected = own_outputs(numbers, TEXTS).logits.numpy()
    assert_allclose(model.predict(TEXTS), expected[:, 0], atol=1e-5)
    assert model.score(TEXTS, expected[:, 0]) == pytest.approx(1.0)
    assert not hasattr(model, "classes_")
    with pytest.raises(NotFittedError, match="its head predicts numbers: use TextRegressor"):
        TextClassifier(numbers).predict(TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize("y", [np.arange(6), 100.0 + 50 * np.arange(6)], ids=["small", "large"])
def test_a_regression_starts_from_the_head_in_any_unit(numbers, y):
    model = TextRegressor(numbers, **QUICK, learning_rate=1e-12)
    expected = model.predict(TEXTS)
    made = model.fit(TEXTS, y).predict(TEXTS)
    assert_allclose(made, expected, atol=1e-4)
    moved = clone(model).set_params(learning_rate=1e-3, max_epochs=20).fit(TEXTS, y)
    assert moved.history_["train_loss"][-1] < moved.history_["train_loss"][0]
    partial = clone(model).partial_fit(TEXTS, y)
    assert_allclose(partial.predict(TEXTS), expected, atol=1e-4)


def test_several_numbers(tmp_path):
    names = ["LABEL_0", "LABEL_1"]
    folder = tiny_head(tmp_path / "two", "roberta", "sequence", names, problem_type="regression")
    model = TextRegressor(folder, **QUICK, learning_rate=1e-12)
    expected = own_outputs(folder, TEXTS).logits.numpy()
    assert_allclose(model.predict(TEXTS), expected, atol=1e-5)
    y = np.column_stack([np.arange(6.0), 100 * np.arange(6) ** 2])
    assert_allclose(clone(model).fit(TEXTS, y).predict(TEXTS), expected, atol=1e-3)
    new = clone(model).fit(TEXTS, y[:, 0])
    assert new._predictor.network.given is None
    assert new.predict(TEXTS).shape == (6,)


def test_a_head_of_classes_does_not_predict_numbers(folder):
    model = TextRegressor(folder, **QUICK)
    with pytest.raises(NotFittedError, match="its head predicts classes: use TextClassifier"):
        model.predict(TEXTS)
    assert np.isfinite(model.fit(TEXTS, np.arange(6)).predict(TEXTS)).all()


def test_several_labels(labels):
    clf = TextClassifier(labels, **QUICK, learning_rate=1e-12)
    # the columns keep the order of the model's outputs
    expected = own_outputs(labels, TEXTS).logits.numpy()
    assert_allclose(clf.predict_proba(TEXTS), expit(expected), atol=1e-5)
    assert_array_equal(clf.predict(TEXTS), (expected > 0).astype(int))
    assert_array_equal(clf.classes_, [[0, 1]] * 3)
    assert clf.score(TEXTS, expected > 0) == 1.0
    y = np.tile(np.eye(3, dtype=int), (2, 1))
    made = clone(clf).fit(TEXTS, y)
    assert_allclose(made.predict_proba(TEXTS), expit(expected), atol=1e-6)
    assert clone(clf).fit(TEXTS, y[:, :2])._predictor.network.given is None
    assert clone(clf).fit(TEXTS, Y)._predictor.network.given is None


def test_long_texts_in_windows(folder):
    windows = {"long_texts": "windows", "window_overlap": 4, "learning_rate": 1e-12}
    clf = TextClassifier(folder, **QUICK | windows | {"max_length": 16})
    rows = [*TEXTS, "good film bad book " * 20]
    expected = clf.decision_function(rows)
    assert_allclose(
        expected[:-1], TextClassifier(folder, **EXACT).decision_function(TEXTS), atol=1e-5
    )
    made = clone(clf).fit(rows, [*Y, "a"]).decision_function(rows)
    assert_allclose(made, expected, atol=1e-5)


def test_everything_that_reads_rows_works_without_fit(folder):
    clf = TextClassifier(folder, **EXACT)
    check_is_fitted(clf)
    assert clf.device_ == ("cuda" if torch.cuda.is_available() else "cpu")
    embedded = clf.transform(TEXTS)
    assert embedded.shape == (6, 32)
    assert clf.get_feature_names_out().tolist()[:1] == ["textclassifier0"]
    assert_array_equal(clf.embed(TEXTS), embedded)
    assert (clf.history_, clf.best_epoch_) == ({}, 0)
    assert clf.score(TEXTS, clf.predict(TEXTS)) == 1.0
    for scoring in ("neg_log_loss", "roc_auc_ovr", "accuracy"):
        assert np.isfinite(check_scoring(clf, scoring=scoring)(clf, TEXTS, Y))
    pipe = make_pipeline(FunctionTransformer(), clf)
    assert_array_equal(pipe.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    frozen = FrozenEstimator(clf).fit(TEXTS, Y)
    assert_array_equal(frozen.predict(TEXTS), clf.predict(TEXTS))
    assert "n_features_in_" not in vars(clf)
    assert "TextClassifier" in clf._repr_html_()
    clf.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="1 of 2 rows could not"):
        assert clf.predict(["good", None]).tolist()[1] is None


def test_init_does_nothing_and_predictions_leave_no_trace(folder):
    clf = TextClassifier(folder, **EXACT)
    before = dict(vars(clf))
    clf.predict(TEXTS)
    assert vars(clf) == before
    assert vars(TextClassifier("no such model"))["model"] == "no such model"


def test_bfloat16_is_close(folder):
    clf = TextClassifier(folder, max_length=60)
    expected = clf.set_params(precision="float32").predict_proba(TEXTS)
    assert_allclose(clf.set_params(precision="bfloat16").predict_proba(TEXTS), expected, atol=5e-2)


def test_the_memory_keeps_both_kinds_of_features_apart(folder, tmp_path):
    clf = TextClassifier(folder, **EXACT, memory=str(tmp_path / "memory"))
    expected = clf.predict_proba(TEXTS)
    frozen = clone(clf).set_params(trainable_layers=0).fit(TEXTS, Y)
    plain = clone(frozen).set_params(memory=None).fit(TEXTS, Y)
    assert_array_equal(frozen.predict_proba(TEXTS), plain.predict_proba(TEXTS))
    assert_array_equal(clf.predict_proba(TEXTS), expected)


def test_grid_search_and_clone(folder):
    clf = TextClassifier(folder, **QUICK)
    assert_array_equal(clone(clf).predict(TEXTS), clf.predict(TEXTS))
    search = GridSearchCV(clf, {"learning_rate": [1e-12, 1e-3]}, cv=2).fit(TEXTS, Y)
    assert search.best_estimator_._predictor.network.given is not None
    cloned = clone(search.best_estimator_)
    assert_array_equal(cloned.predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_a_new_model_replaces_the_head_until_fit(folder, numbers, encoder):
    clf = TextClassifier(numbers, **QUICK)
    expected = clf.set_params(model=folder).predict(TEXTS)
    assert_array_equal(clf.predict(TEXTS), expected)
    with pytest.raises(NotFittedError):
        clf.set_params(model=encoder).predict(TEXTS)
    clf.set_params(model=folder).fit(TEXTS, Y)
    expected = clf.predict_proba(TEXTS)
    assert_array_equal(clf.set_params(model=encoder).predict_proba(TEXTS), expected)


def test_pickles_carry_the_head(changed, folder):
    clf = TextClassifier(changed, **EXACT)
    expected = clf.predict_proba(TEXTS)
    embedded = pickle.dumps(clf)
    by_name = pickle.dumps(clf.set_params(embed_model=False))
    assert len(by_name) < 5000
    assert_array_equal(pickle.loads(by_name).predict_proba(TEXTS), expected)
    shutil.rmtree(changed)
    clear_sessions()
    loaded = pickle.loads(embedded)
    for made in (loaded, clone(loaded), pickle.loads(pickle.dumps(loaded))):
        assert_array_equal(made.predict_proba(TEXTS), expected)
        assert made.classes_.tolist() == ["a", "b", "c"]
    with pytest.raises(NotFittedError, match="neither a folder nor a registered model"):
        pickle.loads(by_name).predict(TEXTS)
    fitted = loaded.set_params(max_epochs=1, learning_rate=1e-12).fit(TEXTS, Y)
    assert_allclose(fitted.predict_proba(TEXTS), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", ["all", 1])
def test_pickles_of_trained_networks(folders, tmp_path, kind, layers):
    copied = shutil.copytree(folders[kind], tmp_path / "copied")
    clf = TextClassifier(copied, trainable_layers=layers, embed_model=layers != "all", **QUICK)
    expected = clf.fit(TEXTS, Y).predict_proba(TEXTS)
    saved = pickle.dumps(clf)
    shutil.rmtree(copied)
    clear_sessions()
    loaded = pickle.loads(saved)
    assert_array_equal(loaded.predict_proba(TEXTS), expected)
    # training has changed all weights: the pickle contains them only once
    assert loaded._predictor.network.content.has_weights() == (layers == 1)


def test_a_killed_fit_resumes(numbers, tmp_path, monkeypatch):
    model = TextRegressor(numbers, **QUICK, batch_size=2, learning_rate=1e-2)
    expected = clone(model).fit(TEXTS, np.arange(6)).predict(TEXTS)

    class Killed(BaseException):
        pass

    step, n = _training_loop._Run.step, iter(range(100))

    def killed(run, *args):
        if next(n) == 2:
            raise Killed
        loss = step(run, *args)
        run.saved = -1e9  # save after each batch
        return loss

    model.set_params(checkpoint_dir=tmp_path / "fit")
    with monkeypatch.context() as patch:
        patch.setattr(_training_loop._Run, "step", killed)
        with pytest.raises(Killed):
            model.fit(TEXTS, np.arange(6))
    assert any((tmp_path / "fit").iterdir())
    assert_array_equal(model.fit(TEXTS, np.arange(6)).predict(TEXTS), expected)


@pytest.mark.slow  # another process imports torch
def test_pickles_predict_in_another_process(changed, tmp_path):
    clf = TextClassifier(changed, **EXACT)
    expected = clf.predict_proba(TEXTS)
    (tmp_path / "saved.pkl").write_bytes(pickle.dumps((clf, TEXTS, expected)))
    shutil.rmtree(changed)
    program = """
import pickle, sys
from pathlib import Path
import numpy as np
clf, texts, expected = pickle.loads(Path(sys.argv[1]).read_bytes())
assert clf.__sklearn_is_fitted__() and clf.classes_.tolist() == ["a", "b", "c"]
assert "torch" not in sys.modules and "transformers" not in sys.modules
np.testing.assert_array_equal(clf.predict_proba(texts), expected)
"""
    command = [sys.executable, "-W", "error", "-c", program, tmp_path / "saved.pkl"]
    subprocess.run(command, check=True)


def test_other_estimators_see_the_encoder_only(folder, tmp_path):
    plain = without_head(folder, tmp_path / "plain")
    expected = TextEncoder(plain, **EXACT).transform(TEXTS)
    TextClassifier(folder, **EXACT).predict(TEXTS)
    assert_array_equal(TextEncoder(folder, **EXACT).transform(TEXTS), expected)
