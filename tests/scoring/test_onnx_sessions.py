"""Open sessions: copies share them, their number is bounded, and their options."""

import builtins
import copy
import gc
import io
import pickle
import tempfile
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import joblib
import numpy as np
import psutil
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, OnnxScorer, PixelExtractor, clear_sessions
from sklearn_dl.models import _onnx as _onnx_model
from sklearn_dl.runtimes import _sessions
from sklearn_dl.utils import _threads
from sklearn_dl.utils._threads import thread_budget
from tests.scoring.onnx_graphs import mean_color, negate, same, two_layers

rng = np.random.default_rng(0)
X = rng.normal(size=(24, 3))
Y = np.arange(24) % 2
IMAGES = list(rng.integers(0, 256, (24, 4, 4, 3), dtype=np.uint8))


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(two_layers().SerializeToString())
    return file


LOKY_WORKER = Mock()
LOKY_WORKER.name = "LokyProcess-1"  # `Mock(name=...)` is its own name


def session_threads(scorer):
    return scorer._session().session.get_session_options().intra_op_num_threads


def test_copies_share_one_session(path, openings):
    scorer = OnnxScorer(path).fit(X)
    data = path.read_bytes()
    copies = [
        scorer,
        clone(scorer),
        copy.deepcopy(scorer),
        pickle.loads(pickle.dumps(scorer)),
        clone(pickle.loads(pickle.dumps(scorer))),
        OnnxScorer(data),
        OnnxScorer(two_layers(), batch_size=2),
    ]
    outs = [made.transform(X) for made in copies]
    for out in outs:
        assert_array_equal(out, outs[0])
    assert scorer.outputs_[0].name == "y"
    assert len(openings) == 1


def test_one_opening_per_cut_and_options(path, openings):
    scorer = OnnxScorer(path)
    for params in ({}, {"outputs": "hidden"}, {"n_threads": 1}, {"n_threads": 2}, {}):
        scorer.set_params(outputs=None, n_threads=None).set_params(**params).transform(X)
    assert len(openings) == 3 + (thread_budget() not in (1, 2))
    scorer.set_params(session_options={"enable_mem_pattern": False}).transform(X)
    assert len(openings) == 4 + (thread_budget() not in (1, 2))


def test_folds_and_grid_share_one_session(path, openings):
    pipe = make_pipeline(OnnxScorer(path), LogisticRegression())
    cross_val_score(pipe, X, Y, cv=3)
    GridSearchCV(pipe, {"logisticregression__C": [0.1, 1, 10]}, cv=3).fit(X, Y).predict(X)
    assert len(openings) == 1


@pytest.mark.parametrize("container", ["default", "pandas"])
def test_grid_on_images_shares_one_session(openings, container):
    scorer = OnnxScorer(mean_color().SerializeToString()).set_output(transform=container)
    pipe = make_pipeline(ImageLoader(), PixelExtractor(), scorer, LogisticRegression())
    GridSearchCV(pipe, {"logisticregression__C": [0.1, 1, 10]}, cv=3).fit(IMAGES, Y)
    scorer.get_feature_names_out()
    assert len(openings) == 1


@pytest.mark.slow
def test_grid_over_workers_opens_once_in_each(path):
    pipe = make_pipeline(OnnxScorer(path), LogisticRegression())
    grid = {"logisticregression__C": [0.1, 1.0], "onnxscorer__outputs": ["hidden", "y"]}
    parallel = GridSearchCV(pipe, grid, cv=3, n_jobs=2).fit(X, Y)
    serial = GridSearchCV(pipe, grid, cv=3).fit(X, Y)
    assert_array_equal(
        parallel.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"]
    )


def test_what_is_open_is_bounded_by_bytes(openings, monkeypatch):
    models = [same(shape=("N", f"F{i}")).SerializeToString() for i in range(5)]
    scorers = [OnnxScorer(model) for model in models]
    monkeypatch.setenv("SKLEARN_DL_CACHE_BYTES", str(3 * len(models[0])))
    for scorer in scorers:
        assert_array_equal(scorer.transform(X), X.astype(np.float32))
    assert len(_sessions._sessions) == 3
    scorers[4].transform(X)
    scorers[2].transform(X)
    assert len(openings) == 5
    scorers[0].transform(X)  # in the place of the one that was not used for longest
    assert len(openings) == 6
    scorers[2].transform(X)
    assert len(openings) == 6
    scorers[3].transform(X)
    assert len(openings) == 7


def test_the_newest_stays_whatever_its_size(path, openings, monkeypatch):
    monkeypatch.setenv("SKLEARN_DL_CACHE_BYTES", "0")
    for _ in range(2):
        OnnxScorer(path).transform(X)
    assert len(openings) == 1


@pytest.mark.parametrize("value", ["4 GB", "", "-1", "1e9"])
def test_a_limit_that_is_no_number_is_refused_before_anything_is_opened(
    path, openings, monkeypatch, value
):
    monkeypatch.setenv("SKLEARN_DL_CACHE_BYTES", value)
    with pytest.raises(ValueError, match=r"SKLEARN_DL_CACHE_BYTES='.*' must be a number of bytes"):
        OnnxScorer(path).transform(X)
    assert openings == []


def test_clear_sessions(path, openings):
    scorer = OnnxScorer(path)
    first = scorer.transform(X)
    clear_sessions()
    assert not _sessions._sessions
    assert_array_equal(scorer.transform(X), first)
    assert len(openings) == 2


def test_threads_at_once(path, openings):
    scorer = OnnxScorer(path, batch_size=2)
    with ThreadPoolExecutor(8) as pool:
        outs = [future.result() for future in [pool.submit(scorer.transform, X)] * 8]
        outs += list(pool.map(lambda _: OnnxScorer(path, batch_size=2).transform(X), range(32)))
    for out in outs:
        assert_array_equal(out, outs[0])
    assert len(openings) == 1


def test_n_threads(path):
    assert session_threads(OnnxScorer(path, n_threads=3)) == 3
    assert session_threads(OnnxScorer(path)) == joblib.cpu_count()


def test_batches_of_images_are_scored_side_by_side():
    scorer = OnnxScorer(mean_color(), n_threads=3)
    pixels = make_pipeline(ImageLoader(), PixelExtractor()).transform(IMAGES)
    assert scorer._share(pixels) == (3, 3)
    assert scorer._share(pixels[:5]) == (3, 1)
    assert scorer._share(np.asarray(pixels)) == (3, 1)


def budget_and_session_threads(scorer):
    return thread_budget(), session_threads(scorer)


def in_four_calls(scorer):
    """The thread budget and the session's threads, in the workers of the current joblib backend."""
    call = joblib.delayed(budget_and_session_threads)
    return joblib.Parallel(n_jobs=2)(call(scorer) for _ in range(4))


def test_one_thread_inside_a_thread_of_joblib(path):
    with joblib.parallel_config("threading"):
        assert in_four_calls(OnnxScorer(path)) == [(1, 1)] * 4


@pytest.mark.parametrize(("share", "n_threads"), [("3", 3), ("0", 1), ("many", 1)])
def test_share_of_threads_inside_a_worker_process(path, monkeypatch, share, n_threads):
    """Set in this process what loky sets in its workers."""
    monkeypatch.setattr(_threads, "get_active_backend", lambda: (Mock(nesting_level=1), 2))
    monkeypatch.setattr(_threads, "current_process", lambda: LOKY_WORKER)
    monkeypatch.setenv("OMP_NUM_THREADS", share)
    assert budget_and_session_threads(OnnxScorer(path)) == (n_threads, n_threads)


@pytest.mark.slow
def test_share_of_threads_inside_worker_processes(path):
    scorer = OnnxScorer(path)
    share = max(1, joblib.cpu_count() // 2)
    assert in_four_calls(scorer) == [(share, share)] * 4
    with joblib.parallel_config("loky", inner_max_num_threads=3):
        assert in_four_calls(scorer) == [(3, 3)] * 4


def test_session_options(path):
    options = {
        "enable_cpu_mem_arena": False,
        "graph_optimization_level": "ORT_DISABLE_ALL",
        "session.intra_op.allow_spinning": "1",
        "logid": "mine",
    }
    scorer = OnnxScorer(path, session_options=options, providers=["CPUExecutionProvider"])
    made = scorer._session().session.get_session_options()
    assert made.enable_cpu_mem_arena is False
    assert made.graph_optimization_level.name == "ORT_DISABLE_ALL"
    assert made.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert_array_equal(clone(scorer).transform(X), OnnxScorer(path).transform(X))


def test_a_provider_that_does_not_start(path, monkeypatch):
    import onnxruntime

    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda data, options, providers, **kwargs: real(
            data, options, providers=["CPUExecutionProvider"], **kwargs
        ),
    )
    clear_sessions()
    assert OnnxScorer(path).transform(X).shape == (24, 2)
    with pytest.raises(ValueError, match="could not start CUDAExecutionProvider; it has started"):
        OnnxScorer(path, providers=["CUDAExecutionProvider"]).transform(X)
    clear_sessions()


def test_progress_bar(path, capfd):
    scorer = OnnxScorer(path, batch_size=5)
    scorer.fit(X).transform(X)
    assert capfd.readouterr() == ("", "")
    scorer.set_params(verbose=1).transform(X)
    out, err = capfd.readouterr()
    assert out == ""
    assert "OnnxScorer: 100%" in err
    assert "24/24" in err
    assert "row/s" in err


def test_the_file_is_read_once(path, monkeypatch):
    clear_sessions()
    scorer = OnnxScorer(path)
    scorer.transform(X)
    opened, hashed = [], []
    real = io.open

    def spy(file, *args, **kwargs):
        opened.append(str(file))
        return real(file, *args, **kwargs)

    for module in (builtins, io):
        monkeypatch.setattr(module, "open", spy)
    monkeypatch.setattr(_onnx_model, "sha256", hashed.append)
    for _ in range(3):
        scorer.transform(X[:1])
        scorer.get_feature_names_out()
    monkeypatch.undo()
    assert [file for file in opened if file.endswith(".onnx")] == []
    assert hashed == []


@pytest.fixture
def score_in_three_ways(path, tmp_path, monkeypatch):
    """A function that scores numbers, images and numbers by an unpickled copy; called once."""
    # other processes write to the global folder of temporary files
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    pixels = make_pipeline(ImageLoader(), PixelExtractor())
    on_images = OnnxScorer(mean_color().SerializeToString(), n_threads=2)
    scorer = OnnxScorer(path, n_threads=2)

    def score():
        scorer.transform(X)
        on_images.transform(pixels.transform(IMAGES))
        pickle.loads(pickle.dumps(scorer)).transform(X)

    score()
    return score


def what_is_open():
    """Numbers of open files and threads; the names of temporary files of ONNX."""
    process = psutil.Process()
    names = {file.name for file in Path(tempfile.gettempdir()).iterdir()}
    onnx_names = {name for name in names if "onnx" in name.lower()}
    return process.num_fds(), process.num_threads(), onnx_names


def assert_nothing_is_left_open(call, n_calls):
    n_files, n_threads, names = what_is_open()
    for _ in range(n_calls):
        call()
    gc.collect()
    more_files, more_threads, more_names = what_is_open()
    # other runtimes in this process have threads that come and go; a leak would be one per call
    assert more_files - n_files < 5
    assert more_threads - n_threads < 5
    assert more_names - names == set()


@pytest.mark.slow
def test_calls_leave_no_file_thread_or_array_behind(score_in_three_ways, openings):
    score_in_three_ways()
    assert len(openings) == 2
    tracemalloc.start()
    try:
        assert_nothing_is_left_open(score_in_three_ways, 20)
        n_bytes = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            score_in_three_ways()
        gc.collect()
        # the pixels of one call are 4,608 bytes
        assert tracemalloc.get_traced_memory()[0] - n_bytes < 20 * 1500
    finally:
        tracemalloc.stop()
    assert len(openings) == 2


@pytest.mark.slow
def test_two_hundred_calls_leave_no_memory_behind(score_in_three_ways):
    memory = psutil.Process().memory_info().rss
    assert_nothing_is_left_open(score_in_three_ways, 200)
    assert psutil.Process().memory_info().rss - memory < 30e6


def test_names_do_not_open_another_session(openings):
    scorer = OnnxScorer(mean_color().SerializeToString(), n_threads=2)
    pixels = make_pipeline(ImageLoader(), PixelExtractor()).transform(IMAGES)
    scorer.transform(pixels)
    assert scorer.inputs_[0].name == "x"
    assert scorer.get_feature_names_out().tolist() == ["y_0", "y_1", "y_2"]
    assert len(openings) == 1


@pytest.mark.parametrize(("kind", "size"), [("convolution", 4), ("sequence", 16), ("table", 1024)])
def test_auto_batch_size_depends_on_the_kind_of_graph(kind, size):
    scorer = OnnxScorer(negate())
    session = scorer._session()
    assert session.facts == _onnx_model.GraphFacts("table", (), False)
    session = replace(session, facts=_onnx_model.GraphFacts(kind, (), False))
    assert scorer._batch_size(session) == size
    assert scorer.set_params(batch_size=7)._batch_size(session) == 7
