import os
import pickle
import random
import sys
import tempfile
import warnings
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import torch
import transformers
from sklearn.exceptions import NotFittedError
from threadpoolctl import threadpool_info

from sklearn_dl import ObjectDetector
from sklearn_dl.runtimes.torch import _device
from sklearn_dl.training import _training_loop
from tests.training.children import in_child
from tests.training.linear_task import same_bits, tensors_of
from tests.training.reviews import LABELS, TEXTS
from tests.vision.detection.drawn_squares import QUICK, drawn_images, small_maps

WEIGHTS = np.tile([0.5, 1, 2, 0], 5)


def global_state():
    transformers_logging = transformers.utils.logging
    return {
        "random": random.getstate(),
        "numpy": [str(part) for part in np.random.get_state()],  # noqa: NPY002
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "interop threads": torch.get_num_interop_threads(),
        "BLAS threads": {
            pool["filepath"]: pool["num_threads"]
            for pool in threadpool_info()
            if pool["user_api"] == "blas"
        },
        "environment": os.environ | {"PYTEST_CURRENT_TEST": ""},
        "verbosity": transformers_logging.get_verbosity(),
        "progress bar": transformers_logging.is_progress_bar_enabled(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "mkldnn": torch.backends.mkldnn.enabled,
        "filters": list(warnings.filters),
        "folder": os.getcwd(),
        "affinity": os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None,
    }


_opened = None


def _audit(event, args):
    if event == "open" and _opened is not None:
        path, _, flags = args
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and path != os.devnull:
            _opened.append(str(path))


@pytest.fixture(scope="module")
def _auditing():
    sys.addaudithook(_audit)  # it cannot be taken away again


@pytest.fixture
def writes(_auditing):
    """A context that gives the paths of files that Python opens to write to."""

    @contextmanager
    def recorded():
        global _opened
        _opened = []
        try:
            yield _opened
        finally:
            _opened = None

    return recorded


@pytest.fixture
def odd_state(encoder, tmp_path, monkeypatch):
    """Global settings that are not the defaults, and the checks that they stay."""
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002
    n_threads, verbosity = torch.get_num_threads(), transformers.utils.logging.get_verbosity()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    torch.manual_seed(42)
    random.seed(42)
    np.random.seed(42)  # noqa: NPY002
    torch.set_num_threads(3)
    transformers.utils.logging.set_verbosity_info()
    before = global_state()
    yield
    after = global_state()
    torch.set_rng_state(torch_state)
    random.setstate(python_state)
    np.random.set_state(numpy_state)  # noqa: NPY002
    torch.set_num_threads(n_threads)
    transformers.utils.logging.set_verbosity(verbosity)
    assert {name for name in before if before[name] != after[name]} == set()
    assert not list((tmp_path / "cwd").iterdir())


@pytest.fixture
def failing_step(monkeypatch):
    """Fits raise the given error in their eighth step."""

    def fail(error):
        steps, step = [], _training_loop._Run.step

        def failing(*args):
            steps.append(None)
            if len(steps) == 8:
                raise error
            return step(*args)

        monkeypatch.setattr(_training_loop._Run, "step", failing)

    return fail


def but_for_the_tokenizer(written):
    """What was written outside the private folder of a tokenizer's files, which is gone again."""
    private = os.path.join(tempfile.gettempdir(), "sklearn_dl_")
    return [path for path in written if not path.startswith(private) or os.path.exists(path)]


@pytest.mark.usefixtures("odd_state")
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"precision": "bfloat16"},
        {"trainable_layers": 0},
        {"trainable_layers": 1, "early_stopping": True},
        {"random_state": None},
    ],
    ids=["defaults", "bfloat16", "frozen", "early stopping", "no seed"],
)
def test_fit_and_predict_leave_global_state_and_print_nothing(
    make_classifier, params, capfd, writes
):
    with writes() as written:
        classifier = make_classifier(**params).fit(TEXTS, LABELS)
        classifier.predict_proba(TEXTS)
        classifier.embed(TEXTS)
    assert capfd.readouterr() == ("", "")
    assert but_for_the_tokenizer(written) == []


@pytest.mark.usefixtures("odd_state")
@pytest.mark.parametrize("layers", [0, 1])
def test_a_detector_writes_to_a_temporary_file_only(layers, capfd, writes):
    X, y = drawn_images(4)
    with writes() as written:
        ObjectDetector(small_maps, trainable_layers=layers, **QUICK).fit(X, y).predict(X)
    assert capfd.readouterr() == ("", "")
    # the file has no name on Linux: its folder is opened
    folders = {path if os.path.isdir(path) else os.path.dirname(path) for path in written}
    assert folders == ({tempfile.gettempdir()} if layers == 0 else set())
    assert not any(os.path.isfile(path) for path in written)


@pytest.mark.usefixtures("odd_state")
def test_a_fit_that_raises_leaves_global_state(make_classifier, failing_step, capfd):
    failing_step(RuntimeError("in mid-epoch"))
    with pytest.raises(RuntimeError, match="in mid-epoch"):
        make_classifier(precision="bfloat16").fit(TEXTS, LABELS)
    assert capfd.readouterr() == ("", "")


def test_a_prediction_of_a_loaded_pickle_draws_nothing(make_classifier):
    classifier = pickle.loads(pickle.dumps(make_classifier().fit(TEXTS, LABELS)))
    before = torch.get_rng_state()
    classifier.predict(TEXTS)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("odd_state")
def test_nothing_is_written_outside_checkpoint_dir(make_classifier, writes, tmp_path):
    folder = tmp_path / "a" / "checkpoints"
    with writes() as written:
        classifier = make_classifier(checkpoint_dir=folder).fit(TEXTS, LABELS)
    plain = make_classifier().fit(TEXTS, LABELS)
    np.testing.assert_array_equal(classifier.predict_proba(TEXTS), plain.predict_proba(TEXTS))
    folders = {os.path.dirname(path) for path in but_for_the_tokenizer(written)}
    assert folders == {str(folder)}
    assert not list(folder.iterdir())


def test_zero_weight_rows_never_change_the_result(make_classifier):
    texts, labels = np.array(TEXTS), np.array(LABELS)
    kept = WEIGHTS > 0
    with_zeros = make_classifier(early_stopping=True).fit(TEXTS, LABELS, WEIGHTS)
    without = make_classifier(early_stopping=True).fit(texts[kept], labels[kept], WEIGHTS[kept])
    assert same_bits(weights_of(with_zeros), weights_of(without))
    other = make_classifier(early_stopping=True).fit(texts[kept], labels[kept])
    assert not same_bits(weights_of(with_zeros), weights_of(other))


def weights_of(classifier):
    return tensors_of(classifier._predictor.network.live)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), RuntimeError("no")], ids=["interrupt", "error"]
)
def test_a_first_fit_that_is_interrupted_leaves_nothing(make_classifier, failing_step, error):
    classifier = make_classifier()
    before = dict(vars(classifier))
    failing_step(error)
    with pytest.raises(type(error)):
        classifier.fit(TEXTS, LABELS)
    assert vars(classifier) == before
    with pytest.raises(NotFittedError):
        classifier.predict(TEXTS)


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_fitted_estimator_predicts_as_before_an_interrupt(
    make_classifier, failing_step, warm_start
):
    classifier = make_classifier(warm_start=warm_start).fit(TEXTS, LABELS)
    before, expected = dict(vars(classifier)), classifier.predict_proba(TEXTS)
    failing_step(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(TEXTS[:15], LABELS[:15])
    assert vars(classifier) == before
    np.testing.assert_array_equal(classifier.predict_proba(TEXTS), expected)


class Interrupting:
    """A callback that raises after the first epoch, as Ctrl-C in it would."""

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **kwargs):
        pass

    def on_fit_task_end(self, estimator, context, **kwargs):
        if context.task_name == "epoch":
            raise KeyboardInterrupt

    def teardown(self, estimator, context):
        pass


@pytest.mark.parametrize("fitted", [False, True])
def test_an_interrupt_in_a_callback_leaves_the_estimator_as_it_was(make_classifier, fitted):
    classifier = make_classifier(warm_start=True)
    if fitted:
        classifier.fit(TEXTS, LABELS)
    classifier.set_callbacks(Interrupting())
    before = dict(vars(classifier))
    expected = classifier.predict_proba(TEXTS) if fitted else None
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(TEXTS, LABELS)
    assert vars(classifier) == before
    if fitted:
        np.testing.assert_array_equal(classifier.predict_proba(TEXTS), expected)


def test_a_fit_keeps_its_threads_when_it_scores(make_classifier, monkeypatch):
    monkeypatch.setattr(_device, "thread_budget", lambda *args: 1)
    seen, step, n_threads = [], _training_loop._Run.step, torch.get_num_threads()

    def counted(*args):
        seen.append(torch.get_num_threads())
        return step(*args)

    monkeypatch.setattr(_training_loop._Run, "step", counted)
    torch.set_num_threads(3)
    # the initial head and each epoch's evaluation score texts inside the fit
    make_classifier(early_stopping=True, validation_fraction=6).fit(TEXTS, LABELS)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 3
    torch.set_num_threads(n_threads)


@pytest.mark.slow
def test_fits_in_threads_give_the_bits_of_fits_one_after_the_other(make_classifier, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    n_threads, rng_state = torch.get_num_threads(), torch.get_rng_state()

    def fit(seed):
        return weights_of(make_classifier(random_state=seed).fit(TEXTS, LABELS))

    expected = [fit(seed) for seed in (0, 1)]
    with joblib.parallel_config(backend="threading", n_jobs=2):
        found = joblib.Parallel()(joblib.delayed(fit)(seed) for seed in (0, 1))
    assert same_bits(found[0], expected[0])
    assert same_bits(found[1], expected[1])
    assert not same_bits(*found)
    assert torch.get_num_threads() == n_threads
    assert torch.equal(torch.get_rng_state(), rng_state)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_fits_and_predicts(make_classifier, monkeypatch):
    # torch's threads do not live on in the child, which must not wait for them
    monkeypatch.setattr(_device, "thread_budget", lambda *args: 2)
    parent = make_classifier().fit(TEXTS, LABELS)
    expected = parent.predict_proba(TEXTS)
    with _device.torch_settings():
        torch.ones(1000, 1000) @ torch.ones(1000, 1000)
        torch.ones(10_000_000).exp().sum()

    def work():
        np.testing.assert_allclose(parent.predict_proba(TEXTS), expected, atol=1e-5)
        child = make_classifier().fit(TEXTS, LABELS)
        np.testing.assert_allclose(child.predict_proba(TEXTS), expected, atol=1e-3)
        with _device.torch_settings() as n_threads:
            torch.ones(10_000_000).exp().sum()
        assert n_threads == 1

    assert in_child(work) == 0
