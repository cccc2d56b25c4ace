"""Copies of OnnxScorer by pickle, clone and fork, and what they contain."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys

import cloudpickle
import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline

from sklearn_dl import OnnxScorer, clear_sessions
from tests.scoring.onnx_graphs import negate, same

X = np.array([[1.0, 2.0], [3.0, 4.0]])


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "negate.onnx"
    file.write_bytes(negate().SerializeToString())
    return file


def through_joblib(estimator, tmp_path):
    joblib.dump(estimator, tmp_path / "dumped")
    return joblib.load(tmp_path / "dumped")


COPIES = {
    "pickle": lambda estimator, _: pickle.loads(pickle.dumps(estimator)),
    "protocol 2": lambda estimator, _: pickle.loads(pickle.dumps(estimator, 2)),
    "cloudpickle": lambda estimator, _: cloudpickle.loads(cloudpickle.dumps(estimator)),
    "joblib": through_joblib,
    "deepcopy": lambda estimator, _: copy.deepcopy(estimator),
    "copy": lambda estimator, _: copy.copy(estimator),
    "clone": lambda estimator, _: clone(estimator),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("model", ["path", "bytes", "proto"])
@pytest.mark.parametrize("fitted", [False, True])
def test_copies(how, model, fitted, path, tmp_path):
    given = {"path": path, "bytes": path.read_bytes(), "proto": negate()}[model]
    scorer = OnnxScorer(given, batch_size=3)
    if fitted:
        scorer.fit(X).transform(X)
    made = COPIES[how](scorer, tmp_path)
    assert made.batch_size == 3
    assert hasattr(made, "n_features_in_") == (fitted and how != "clone")
    if model == "path" and how != "clone":
        path.unlink()
        clear_sessions()
    assert_array_equal(made.transform(X), -X)


def test_a_pickle_has_no_session(path):
    scorer = OnnxScorer(path).fit(X)
    assert b"InferenceSession" not in pickle.dumps(scorer)
    assert set(vars(scorer)) == {
        *scorer.get_params(),
        "n_features_in_",
        "_learned_names",
        "_learned_shapes",
        "_fitted_with",
    }


def test_size_of_the_pickle(path):
    path.write_bytes(path.read_bytes() + bytes([0x32, 0x82, 0x80, 4]) + b" " * 65538)  # doc_string
    carried, named = (len(pickle.dumps(OnnxScorer(path, embed_model=e))) for e in (True, False))
    assert carried > 65538 > 2000 > named


@pytest.mark.slow
def test_a_new_process_loads_it_without_the_file(path, tmp_path):
    pipe = make_pipeline(OnnxScorer(path)).fit(X)
    (tmp_path / "pipe.pkl").write_bytes(pickle.dumps(pipe))
    path.unlink()
    code = (
        "import pathlib, pickle, sys\n"
        "print(pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()).transform([[1, 2]]))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "pipe.pkl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[[-1. -2.]]\n"
    assert done.stderr == ""


def test_pickled_without_its_model(path):
    data = pickle.dumps(OnnxScorer(path, embed_model=False).fit(X))
    assert_array_equal(pickle.loads(data).transform(X), -X)
    path.write_bytes(same().SerializeToString())
    with pytest.raises(ValueError, match=r"is not the one .* pickled with \(sha256 .*, it was"):
        pickle.loads(data).transform(X)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="neither a file"):
        pickle.loads(data).transform(X)


def test_set_params_drops_the_embedded_model(path, tmp_path):
    loaded = pickle.loads(pickle.dumps(OnnxScorer(path)))
    other = tmp_path / "same.onnx"
    other.write_bytes(same().SerializeToString())
    assert_array_equal(loaded.set_params(model=other).transform(X), X)
    path.unlink()
    assert_array_equal(pickle.loads(pickle.dumps(loaded)).transform(X), X)


@pytest.mark.parametrize("embed_model", [True, False])
def test_clone_of_a_loaded_pickle(path, embed_model):
    loaded = pickle.loads(pickle.dumps(OnnxScorer(path, embed_model=embed_model)))
    made = clone(clone(make_pipeline(loaded)))[0]
    assert made._carried is loaded._carried
    path.write_bytes(same().SerializeToString())
    if embed_model:
        assert_array_equal(made.transform(X), -X)
    else:
        with pytest.raises(ValueError, match="is not the one"):
            made.transform(X)


def test_a_loaded_pickle_keeps_its_model_when_the_file_changes(path):
    loaded = pickle.loads(pickle.dumps(OnnxScorer(path)))
    path.write_bytes(same().SerializeToString())
    assert_array_equal(loaded.transform(X), -X)


def test_an_estimator_that_was_not_fitted_follows_the_file(path):
    scorer = OnnxScorer(path)
    assert_array_equal(scorer.transform(X), -X)
    path.write_bytes(same().SerializeToString())
    assert_array_equal(scorer.transform(X), X)
    assert_array_equal(pickle.loads(pickle.dumps(scorer)).transform(X), X)


def test_clones_share_the_bytes():
    data = negate().SerializeToString()
    assert clone(OnnxScorer(data)).model is data


def test_pickle_of_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a file"):
        pickle.dumps(OnnxScorer(tmp_path / "none.onnx"))


def test_another_version_warns(path, monkeypatch):
    from sklearn_dl.utils import _base

    data = pickle.dumps(OnnxScorer(path))
    monkeypatch.setattr(_base, "__version__", "99.0")
    with pytest.warns(InconsistentVersionWarning, match="OnnxScorer"):
        loaded = pickle.loads(data)
    assert_array_equal(loaded.transform(X), -X)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_after_use(path):
    scorer = OnnxScorer(path, n_threads=2)
    expected = scorer.transform(X)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, pickle.dumps(scorer.transform(X)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert_array_equal(pickle.loads(stream.read()), expected)
    assert os.waitpid(child, 0)[1] == 0
    assert_array_equal(scorer.transform(X), expected)


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_worker_processes(path, method):
    scorer = OnnxScorer(path)
    scorer.transform(X)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert_array_equal(pool.apply(scorer.transform, (X,)), -X)


@pytest.mark.slow
def test_loky(path):
    scorer = OnnxScorer(path)
    out = joblib.Parallel(n_jobs=2)(joblib.delayed(scorer.transform)(X + i) for i in range(4))
    assert_array_equal(np.stack(out), np.stack([-X - i for i in range(4)]))
