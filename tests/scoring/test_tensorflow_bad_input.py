"""Errors of TensorFlowScorer for models and rows that it cannot use; nothing leaks."""

import gc
import shutil

import numpy as np
import psutil
import pytest

from sklearn_dl import TensorFlowScorer
from tests.scoring.tensorflow_models import affine, frozen, keras_model, two_layers

X = np.arange(12, dtype=np.float32).reshape(4, 3) - 5


def fails(match, model, error=ValueError, **params):
    for work in ("fit", "transform"):
        with pytest.raises(error, match=match):
            getattr(TensorFlowScorer(model, **params), work)(X)


def test_a_missing_path(tmp_path):
    fails(
        "model='nowhere.pb' is neither a file or folder nor a registered model",
        "nowhere.pb",
        FileNotFoundError,
    )
    fails("without saved_model.pb", tmp_path, FileNotFoundError)
    fails("is a URL, and URLs are not downloaded", "https://example.com/model.pb")


def test_an_unknown_kind_of_file(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"x")
    fails("must be a SavedModel's folder, a frozen graph", tmp_path / "model.onnx")


def test_damaged_protobufs(tmp_path):
    path = frozen(tmp_path / "model.pb", two_layers)
    data = (tmp_path / "model.pb").read_bytes()
    (tmp_path / "model.pb").write_bytes(data[:-7])
    fails("is not a frozen graph .* or is damaged", path)
    (tmp_path / "model.pb").write_bytes(b"")
    fails("contains no nodes", path)
    folder = tmp_path / "model"
    affine(folder)
    data = (folder / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").write_bytes(data[: len(data) // 2])
    fails("is not a SavedModel, or is damaged", folder)


def test_missing_variables(tmp_path):
    affine(tmp_path)
    shutil.rmtree(tmp_path / "variables")
    with pytest.raises(
        FileNotFoundError, match=r"needs the file .*variables\.index, which does not"
    ):
        TensorFlowScorer(tmp_path).transform(X)


def test_a_damaged_keras_file(tmp_path):
    keras_model().save(tmp_path / "model.keras")
    data = (tmp_path / "model.keras").read_bytes()
    (tmp_path / "model.keras").write_bytes(data[: len(data) // 2])
    fails("Keras cannot load", tmp_path / "model.keras")


def test_wrong_names(tmp_path):
    path = affine(tmp_path / "model")
    fails(
        r"has no signature 'other'; it has .*'serving_default': \('x': .*\) -> \('scaled'",
        path,
        signature="other",
    )
    fails(
        r"has no graph with tags=\('gpu',\); it has graphs with the tags \[\('serve',\)\]",
        path,
        tags=("gpu",),
    )
    fails("has no output 'scores'; its signatures are", path, outputs="scores")
    graph = frozen(tmp_path / "model.pb", two_layers)
    fails("has no output 'hiden'; .*similar names: .*'hidden'", graph, outputs="hiden")
    fails("unknown inputs", graph, inputs={"z": [0]})
    fails("must name at least one tensor, and each only once", graph, outputs=[])


def test_wrong_shapes_and_types(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", two_layers))
    with pytest.raises(ValueError, match=r"The graph expects 'x'.*rows of shape \(2,\)"):
        scorer.transform(X[:, :2])
    with pytest.raises(ValueError, match=r"string|numeric|convert"):
        scorer.transform([["a", "b", "c"]])


def test_not_a_model():
    fails("The 'model' parameter", 3, error=ValueError)


def grown(work, n_first, n_calls):
    """Open files, threads and megabytes that `n_calls` leave behind, after the first ones."""
    process = psutil.Process()

    def used(n):
        for _ in range(n):
            work()
        gc.collect()
        return process.num_fds(), process.num_threads(), process.memory_info().rss / 1e6

    before = used(n_first)
    return np.subtract(used(n_calls), before)


@pytest.mark.slow
def test_nothing_stays_after_some_calls(tmp_path):
    scorer = TensorFlowScorer(affine(tmp_path / "model"))
    rows = np.ones((100_000, 3), dtype=np.float32)
    fds, threads, megabytes = grown(lambda: scorer.transform(rows), 5, 30)
    assert max(fds, threads) < 5
    assert megabytes < 30


@pytest.mark.slow
def test_nothing_stays_after_many_calls(tmp_path):
    scorer = TensorFlowScorer(affine(tmp_path / "model"), batch_size=64)
    rows = np.ones((1000, 3), dtype=np.float32)
    fds, threads, megabytes = grown(lambda: scorer.transform(rows), 20, 200)
    assert max(fds, threads) < 5
    assert megabytes < 30
