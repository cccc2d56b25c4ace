import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_dl import TextClassifier, TextEncoder

rng = np.random.default_rng(0)
WORDS = ["film", "book", "plot", "music", "cat", "dog", "house", "tree"]
X = np.array([f"{rng.choice(WORDS)} {w} {rng.choice(WORDS)}" for w in ["good", "bad", "red"] * 8])
Y = np.array(["yes", "no", "red"] * 8)
TWO = np.isin(Y, ["yes", "no"])
PAIRS = np.column_stack([X, np.roll(X, 5)])


@pytest.fixture
def clf(encoder):
    return TextClassifier(
        encoder,
        max_epochs=2,
        learning_rate=1e-3,
        max_length=32,
        precision="float32",
        random_state=0,
    )


@pytest.fixture
def frozen(clf):
    return clf.set_params(trainable_layers=0)


LABELS = {
    "str": np.array(["yes", "no"]),
    "object": np.array(["yes", "no"], dtype=object),
    "int": np.array([3, 7]),
    "negative": np.array([1, -1]),
    "bool": np.array([True, False]),
    "float": np.array([0.0, 1.0]),
}


@pytest.mark.parametrize("layers", [0, "all"])
@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind_come_back(clf, kind, layers):
    y = LABELS[kind][(Y[TWO] == "no").astype(int)]
    clf.set_params(trainable_layers=layers).fit(X[TWO], y)
    assert_array_equal(clf.classes_, np.unique(y))
    predicted = clf.predict(X[TWO])
    assert predicted.dtype == y.dtype
    assert_array_equal(predicted, y)
    assert clf.score(X[TWO], y) == 1


def test_a_list_and_a_series_of_labels(frozen):
    expected = frozen.fit(X, Y).predict_proba(X)
    for y in (Y.tolist(), pd.Series(Y), pd.Series(Y, dtype="category"), pd.Series(Y, dtype=object)):
        assert_array_equal(clone(frozen).fit(X, y).predict_proba(X), expected)


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("rows", [X, PAIRS], ids=["one", "pair"])
def test_what_the_methods_give_agrees(clf, layers, rows):
    clf.set_params(trainable_layers=layers).fit(rows, Y)
    logits, probabilities = clf.decision_function(rows), clf.predict_proba(rows)
    assert logits.shape == probabilities.shape == (24, 3)
    assert probabilities.dtype == np.float64
    assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
    assert_allclose(np.log(probabilities), clf.predict_log_proba(rows), rtol=1e-9)
    assert_array_equal(clf.predict(rows), clf.classes_[probabilities.argmax(1)])
    assert_array_equal(logits.argmax(1), probabilities.argmax(1))


@pytest.mark.parametrize("layers", [0, 1])
def test_the_decision_function_of_two_classes_is_one_number(clf, layers):
    clf.set_params(trainable_layers=layers).fit(X[TWO], Y[TWO])
    decision = clf.decision_function(X)
    assert decision.shape == (24,)
    assert_allclose(expit(decision), clf.predict_proba(X)[:, 1], rtol=1e-9)
    assert_array_equal(clf.predict(X), clf.classes_[(decision > 0).astype(int)])


@pytest.mark.parametrize("layers", [0, "all"])
@pytest.mark.parametrize("class_weight", ["balanced", {"yes": 3, "no": 0.5}])
def test_class_weight_is_a_sample_weight(clf, layers, class_weight):
    clf.set_params(trainable_layers=layers)
    rows = np.flatnonzero(TWO)[:13]
    weights = compute_sample_weight(class_weight, Y[rows])
    assert len(np.unique(weights)) == 2
    expected = clone(clf).fit(X[rows], Y[rows], sample_weight=weights).decision_function(X)
    clf.set_params(class_weight=class_weight).fit(X[rows], Y[rows])
    assert_array_equal(clf.decision_function(X), expected)
    assert not np.allclose(
        clf.set_params(class_weight=None).fit(X[rows], Y[rows]).decision_function(X), expected
    )


def test_a_class_weight_of_an_unknown_class(frozen):
    with pytest.raises(ValueError, match="are not in class_weight"):
        frozen.set_params(class_weight={"never": 2}).fit(X, Y)


def test_integer_weights_equal_repeated_rows(frozen):
    weights = rng.integers(0, 4, len(X))
    weighted = clone(frozen).fit(X, Y, sample_weight=weights)
    repeated = clone(frozen).fit(X.repeat(weights), Y.repeat(weights))
    assert_allclose(weighted._head.weights, repeated._head.weights, atol=2e-3)
    assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=2e-3)


@pytest.mark.parametrize("layers", [0, "all"])
def test_rows_of_weight_zero_change_nothing(clf, layers):
    clf.set_params(trainable_layers=layers)
    expected = clone(clf).fit(X, Y).decision_function(X)
    more = np.concatenate([X, ["slow old film", "xyz"]])
    weights = np.repeat([1.0, 0.0], [24, 2])
    clf.fit(more, np.concatenate([Y, ["yes", "no"]]), sample_weight=weights)
    assert_array_equal(clf.decision_function(X), expected)


@pytest.mark.parametrize("layers", [0, "all"])
@pytest.mark.parametrize("weighted", ["rows", "class"])
def test_a_class_of_weight_zero_is_known_and_never_predicted(clf, layers, weighted):
    clf.set_params(trainable_layers=layers)
    if weighted == "rows":
        clf.fit(X, Y, sample_weight=Y != "red")
    else:
        clf.set_params(class_weight={"red": 0}).fit(X, Y)
    assert clf.classes_.tolist() == ["no", "red", "yes"]
    probabilities = clf.predict_proba(X)
    assert probabilities[:, 1].max() < 1e-2
    assert_allclose(probabilities.sum(1), 1)
    assert set(clf.predict(X)) == {"no", "yes"}


@pytest.mark.parametrize("layers", [0, "all"])
def test_only_one_class_with_a_weight(clf, layers):
    clf.set_params(trainable_layers=layers)
    with pytest.raises(ValueError, match="one class"):
        clf.fit(X, Y, sample_weight=Y == "red")
    assert not hasattr(clf, "classes_")


def test_weights_of_zero_only(clf):
    with pytest.raises(ValueError, match="sample_weight is zero for every row"):
        clf.fit(X, Y, sample_weight=np.zeros(24))
    with pytest.raises(ValueError, match="sample_weight_val is zero for every row"):
        clf.set_params(early_stopping=True).fit(
            X, Y, X_val=X[:2], y_val=Y[:2], sample_weight_val=[0, 0]
        )
    with pytest.raises(ValueError, match="class_weight and sample_weight leave no row"):
        clf.set_params(class_weight=dict.fromkeys(Y, 0)).fit(X, Y)
    clf.set_params(class_weight={"red": 0})
    with pytest.raises(ValueError, match="class_weight and sample_weight_val leave no row"):
        clf.fit(X, Y, X_val=["x"], y_val=["red"])


@pytest.mark.parametrize("layers", [0, "all"])
def test_one_class_is_an_error(clf, layers):
    with pytest.raises(ValueError, match=r"at least two classes, .* all of one class: 'a'\."):
        clf.set_params(trainable_layers=layers).fit(X, ["a"] * 24)
    assert not hasattr(clf, "classes_")


def test_classes_that_are_no_classes(clf):
    for y in (rng.normal(size=24), np.eye(24, dtype=int), np.full((24, 2), "a")):
        with pytest.raises(ValueError):  # noqa: PT011
            clf.fit(X, y)


def test_validation_rows_may_lack_a_class(clf):
    clf.set_params(early_stopping=True).fit(X, Y, X_val=X[TWO], y_val=Y[TWO])
    assert clf.history_["validation_score"] == [1.0] * len(clf.history_["epoch"])
    assert clf.classes_.tolist() == ["no", "red", "yes"]


def test_a_label_of_the_validation_rows_that_y_lacks(clf):
    clf.set_params(early_stopping=True)
    with pytest.raises(ValueError, match=r"y_val holds classes that y does not: \['new', 'red'\]"):
        clf.fit(X[TWO], Y[TWO], X_val=["x", "y", "z"], y_val=["yes", "red", "new"])
    with pytest.raises(ValueError, match=r"y_val is missing \(NaN or None\) in row\(s\) 1: drop"):
        clf.fit(X, Y, X_val=["x", "y"], y_val=["yes", None])


def test_validation_rows_need_early_stopping(clf):
    with pytest.raises(ValueError, match="used only with early_stopping=True"):
        clf.fit(X, Y, X_val=X, y_val=Y)
    with pytest.raises(ValueError, match="given together"):
        clf.set_params(early_stopping=True).fit(X, Y, X_val=X)
    with pytest.raises(ValueError, match="sample_weight_val was given without"):
        clf.fit(X, Y, sample_weight_val=np.ones(24))


def test_validation_rows_of_weight_zero_do_not_count(clf):
    clf.set_params(early_stopping=True)
    wrong = np.where(Y == "yes", "no", "yes")
    weights = np.repeat([1, 0], 24)
    clf.fit(
        X,
        Y,
        X_val=np.concatenate([X, X]),
        y_val=np.concatenate([Y, wrong]),
        sample_weight_val=weights,
    )
    assert clf.history_["validation_score"][-1] == 1


def test_a_class_of_one_row_is_trained_on_not_held_out(clf):
    y = Y.copy()
    y[0] = "one"
    clf.set_params(early_stopping=True, validation_fraction=0.5).fit(X, y)
    assert "one" in clf.classes_
    assert np.isfinite(clf.predict_proba(X)).all()


def test_early_stopping_keeps_the_best_epoch(clf):
    clf.set_params(early_stopping=True, max_epochs=6, learning_rate=0.05, n_iter_no_change=2)
    clf.fit(X, Y, X_val=X, y_val=Y)
    scores, losses = clf.history_["validation_score"], clf.history_["validation_loss"]
    best = max(range(len(scores)), key=lambda i: (scores[i], -losses[i]))
    assert clf.best_epoch_ == best + 1
    assert clf.score(X, Y) == scores[best]
    chosen = np.searchsorted(clf.classes_, Y)
    log_proba = clf.predict_log_proba(X)[np.arange(24), chosen]
    assert_allclose(-log_proba.mean(), losses[best], rtol=1e-5)


def test_history_has_a_column_per_fact_and_an_entry_per_epoch(clf):
    columns = ["epoch", "train_loss", "learning_rate", "seconds", "examples_per_second"]
    assert list(clf.fit(X, Y).history_) == columns
    assert clf.history_["epoch"] == [1, 2]
    assert clf.best_epoch_ == 2
    assert clf.history_["learning_rate"][0] > clf.history_["learning_rate"][1] > 0
    assert all(len(column) == 2 for column in clf.history_.values())
    clf.set_params(early_stopping=True).fit(X, Y)
    assert list(clf.history_) == [*columns, "validation_loss", "validation_score"]
    clf.set_params(trainable_layers=0).fit(X, Y)
    assert clf.history_ == {}
    assert clf.best_epoch_ == 0


def tensors(clf):
    return {name: t.clone() for name, t in clf._network.live.state_dict().items()}


@pytest.mark.parametrize("layers", [1, 2, "all"])
def test_only_the_last_layers_and_the_head_change(clf, layers):
    from sklearn_dl.text._network import load_network

    clf.set_params(trainable_layers=layers, learning_rate=1e-2).fit(X, Y)
    before, after = load_network(clf._network.content).state_dict(), tensors(clf)
    changed = {name for name, t in before.items() if not t.equal(after[name])}
    unchanged = set(before) - changed
    assert set(after) - set(before) == {"head.weight", "head.bias"}
    if layers == "all":
        # positions that no text reaches stay, and keys' biases have no gradient
        assert not any("layer" in name and "weight" in name for name in unchanged)
        assert "encoder.embeddings.word_embeddings.weight" in changed
        return
    frozen = tuple(f"encoder.encoder.layer.{i}." for i in range(2 - layers))
    assert not any(name.startswith(("encoder.embeddings", *frozen)) for name in changed)
    assert all(
        any(name.startswith(f"encoder.encoder.layer.{i}.") for name in changed)
        for i in range(2 - layers, 2)
    )


def test_more_layers_than_there_are(clf):
    with pytest.raises(ValueError, match="trainable_layers=3, but the encoder has 2 layers"):
        clf.set_params(trainable_layers=3).fit(X, Y)
    assert not hasattr(clf, "history_")


def test_warm_start_goes_on_from_the_weights(clf):
    clf.set_params(warm_start=True).fit(X, Y)
    before, loss = tensors(clf), clf.history_["train_loss"][-1]
    predicted = clf.predict_proba(X)
    clf.set_params(max_epochs=3, learning_rate=1e-8).fit(X, Y)
    assert clf.history_["epoch"] == [1, 2, 3, 4, 5]
    assert clf.best_epoch_ == 5
    assert clf.history_["train_loss"][2] < clf.history_["train_loss"][0]
    assert_allclose(clf.history_["train_loss"][2], loss, rtol=1)
    assert_allclose(clf.predict_proba(X), predicted, atol=1e-4)
    for name, tensor in tensors(clf).items():
        assert_allclose(tensor, before[name], atol=1e-5)


def test_warm_start_goes_on_from_a_frozen_fit(clf):
    clf.set_params(warm_start=True, trainable_layers=0).fit(X, Y)
    clf.set_params(trainable_layers="all").fit(X, Y)
    assert clf.history_["epoch"] == [1, 2]
    assert clf.score(X, Y) == 1


def test_a_frozen_fit_after_training_keeps_the_trained_encoder(clf):
    vectors = clf.set_params(warm_start=True).fit(X, Y).embed(X)
    clf.set_params(trainable_layers=0).fit(X, Y)
    assert_array_equal(clf.embed(X), vectors)
    assert clf.score(X, Y) == 1


def test_without_warm_start_a_fit_starts_anew(clf):
    first = clf.fit(X, Y).predict_proba(X)
    assert_array_equal(clf.fit(X, Y).predict_proba(X), first)
    assert clf.history_["epoch"] == [1, 2]


@pytest.mark.parametrize("layers", [1, "all"])
@pytest.mark.parametrize("pickled", [False, True])
def test_warm_start_of_a_trained_network_learns_from_rows_of_some_classes(clf, layers, pickled):
    clf.set_params(warm_start=True, trainable_layers=layers).fit(X, Y)
    before = clf.predict_proba(X)
    clf = pickle.loads(pickle.dumps(clf)) if pickled else clf
    clf.set_params(class_weight="balanced").fit(X[:2], ["yes", "yes"], [1, 2])
    assert clf.classes_.tolist() == ["no", "red", "yes"]
    after = clf.predict_proba(X)
    assert after.shape == before.shape
    assert (after[:, 2] > before[:, 2]).all()
    assert clf.history_["epoch"] == [1, 2, 3, 4]


def test_warm_start_of_a_frozen_head_refuses_rows_that_lack_a_class(frozen):
    frozen.set_params(warm_start=True).fit(X, Y)
    expected = frozen.predict_proba(X)
    # a head is solved anew in each of these
    for layers in (0, 1):
        frozen.set_params(trainable_layers=layers)
        with pytest.raises(ValueError, match="here the head is solved anew, from these rows alone"):
            frozen.fit(X[:2], ["yes", "yes"])
    assert_array_equal(frozen.set_params(trainable_layers=0).predict_proba(X), expected)


def test_warm_start_refuses_other_classes_and_models(clf, other_encoder):
    clf.set_params(warm_start=True).fit(X, Y)
    expected = clf.predict_proba(X)
    for y in (np.where(Y == "yes", "oui", Y), np.where(Y == "yes", "oui", "no")):
        with pytest.raises(ValueError, match=r"warm_start=True cannot change the classes: fitted"):
            clf.fit(X, y)
    clf.set_params(model=other_encoder)
    with pytest.raises(ValueError, match="warm_start=True cannot go on with model="):
        clf.fit(X, Y)
    assert_array_equal(clf.predict_proba(X), expected)
    assert clf.history_["epoch"] == [1, 2]


@pytest.mark.parametrize("layers", [0, 1])
def test_embed_gives_the_vectors_before_the_head(clf, encoder, layers):
    clf.set_params(trainable_layers=layers).fit(X, Y)
    vectors = clf.embed(X[:5])
    assert vectors.shape == (5, 32)
    assert vectors.dtype == np.float32
    pretrained = TextEncoder(encoder, max_length=32, precision="float32").transform(X[:5])
    assert np.allclose(vectors, pretrained, atol=1e-6) == (layers == 0)
    shape = clf.fit(PAIRS, Y).embed(PAIRS).shape
    assert shape == ((24, 128) if layers == 0 else (24, 32))


def test_the_head_of_frozen_pairs_reads_both_vectors(frozen, encoder):
    vectors = frozen.fit(PAIRS, Y).embed(PAIRS)
    first, second = (
        TextEncoder(encoder, max_length=32, precision="float32").transform(column)
        for column in PAIRS.T
    )
    expected = np.hstack([first, second, abs(first - second), first * second])
    assert_allclose(vectors, expected, atol=1e-5)


def test_pairs_want_two_columns_again(clf):
    clf.fit(PAIRS, Y)
    assert clf.n_features_in_ == 2
    with pytest.raises(ValueError, match=r"expects two columns of texts .* got 1 column[.]"):
        clf.predict(X)
    swapped = clf.predict_proba(PAIRS[:, ::-1])
    assert not np.allclose(swapped, clf.predict_proba(PAIRS))


def test_columns_of_pairs_keep_their_order(frozen):
    frame = pd.DataFrame(PAIRS, columns=["title", "body"])
    expected = frozen.fit(frame, Y).predict_proba(frame)
    assert frozen.feature_names_in_.tolist() == ["title", "body"]
    with pytest.raises(ValueError, match="same order"):
        frozen.predict(frame[["body", "title"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert_array_equal(frozen.predict_proba(PAIRS), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_label_smoothing_makes_probabilities_less_sure(clf, smoothing):
    clf.set_params(max_epochs=10, learning_rate=1e-2, label_smoothing=smoothing).fit(X, Y)
    assert (clf.predict_proba(X).max(1).mean() < 0.9) == (smoothing > 0)


def test_verbose_prints_a_line_per_epoch(clf, capsys):
    clf.fit(X, Y)
    assert capsys.readouterr() == ("", "")
    clf.set_params(verbose=1).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "TextClassifier: epoch 1",
        "TextClassifier: epoch 2",
    ]


def test_random_state(clf):
    def fitted(random_state):
        return clone(clf).set_params(random_state=random_state).fit(X, Y).predict_proba(X)

    np.random.seed(3)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert_array_equal(fitted(1), fitted(1))
    assert not np.array_equal(fitted(1), fitted(2))
    assert not np.array_equal(fitted(None), fitted(None))
    assert_array_equal(fitted(np.random.RandomState(5)), fitted(np.random.RandomState(5)))
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_a_loss_that_is_not_finite_leaves_the_estimator_as_it_was(clf):
    clf.fit(X, Y)
    expected, before = clf.predict_proba(X), dict(vars(clf))
    clf.set_params(learning_rate=1e30, max_grad_norm=None, max_epochs=5)
    with pytest.raises(ValueError, match=r"The loss is (nan|inf) .*in epoch \d, batch \d: lower"):
        clf.fit(X, Y)
    params = clf.get_params()
    assert {k: v for k, v in vars(clf).items() if k not in params} == {
        k: v for k, v in before.items() if k not in params
    }
    assert_array_equal(clf.predict_proba(X), expected)


class Stop:
    """Stops after an epoch; notes what it was called with."""

    def __init__(self, after):
        self.after, self.scores = after, []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, fitted_estimator=None, **other
    ):
        if context.task_name == "epoch":
            self.scores.append(fitted_estimator.score(X, y))
            return len(self.scores) >= self.after
        return False


def test_a_callback_stops_training(clf):
    stop = Stop(after=2)
    clf.set_params(max_epochs=5).set_callbacks(stop).fit(X, Y)
    assert clf.history_["epoch"] == [1, 2]
    assert clf.best_epoch_ == 2
    assert len(stop.scores) == 2
    assert stop.scores[1] == clf.score(X, Y) > 0.9


def test_scoring_monitor_sees_each_epoch(clf):
    monitor = ScoringMonitor(scoring="neg_log_loss")
    clf.set_callbacks(monitor).fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    epochs = log[log.task_name == "epoch"]
    assert len(epochs) == 2
    scores = epochs.neg_log_loss.to_numpy()
    assert scores[1] != scores[0]
    chosen = np.searchsorted(clf.classes_, Y)
    last = clf.predict_log_proba(X)[np.arange(24), chosen].mean()
    assert_allclose(scores[1], last, rtol=1e-6)


def test_callbacks_reach_the_epochs_of_a_grid_search(clf, capsys):
    pytest.importorskip("rich")
    monitor, bar = ScoringMonitor(scoring="accuracy"), ProgressBar()
    clf.set_callbacks(monitor)
    search = GridSearchCV(clf, {"learning_rate": [1e-4, 1e-3]}, cv=2).set_callbacks(bar)
    search.fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    epochs = log[log.task_name == "epoch"]
    # 2 candidates x 2 folds and the refit, 2 epochs each
    assert len(epochs) == 10
    assert epochs.accuracy.between(0, 1).all()
    out = capsys.readouterr().out
    assert "GridSearchCV" in out
    assert "TextClassifier - fit" in out


def test_progress_bar_on_the_estimator(clf, capsys):
    pytest.importorskip("rich")
    clf.set_callbacks(ProgressBar()).fit(X, Y)
    assert "TextClassifier - fit" in capsys.readouterr().out


def test_a_text_that_is_cut_is_counted_once(clf):
    long = np.array(["good " * 50, *X[1:]])
    with pytest.warns(UserWarning, match="1 of 24 texts are longer than max_length=32") as caught:
        clf.fit(long, Y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    for method in ("predict", "predict_proba", "decision_function", "predict_log_proba", "embed"):
        with pytest.warns(UserWarning, match="1 of 24 texts") as caught:
            getattr(clf, method)(long)
        assert len(caught) == 1
        assert caught[0].filename == __file__


class Fails(Stop):
    """Raises in one of its hooks."""

    def __init__(self, hook):
        super().__init__(after=99)
        self.hook = hook

    def setup(self, estimator, context):
        self._raise("setup")

    def teardown(self, estimator, context):
        self._raise("teardown")

    def on_fit_task_end(self, estimator, context, **options):
        if context.task_name == "fit":
            self._raise("end")

    def _raise(self, hook):
        if hook == self.hook:
            raise RuntimeError(f"in {hook}")


@pytest.mark.parametrize("hook", ["setup", "end", "teardown"])
@pytest.mark.parametrize("layers", [0, 1])
def test_a_callback_that_raises_at_the_very_end_leaves_the_estimator_as_it_was(clf, hook, layers):
    clf.set_params(trainable_layers=layers).fit(X, Y)
    expected = clf.predict_proba(X)
    clf.set_callbacks(Fails(hook))
    before = dict(vars(clf))
    with pytest.raises(RuntimeError, match=f"in {hook}"):
        clf.fit(X[::-1], Y)
    assert vars(clf) == before
    assert_array_equal(clf.predict_proba(X), expected)
