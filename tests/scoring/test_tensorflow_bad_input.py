import gc
import os
import shutil
import subprocess
import sys
from multiprocessing import get_context

import joblib
import numpy as np
import psutil
import pytest
from sklearn.base import clone

from sklearn_dl import TensorFlowScorer
from tests.scoring.tensorflow_models import affine, frozen, keras_model, relu, two_layers
from tests.training.children import in_child

X = np.arange(12, dtype=np.float32).reshape(4, 3) - 5


def fails(match, model, error=ValueError, **params):
    for work in ("fit", "transform"):
        with pytest.raises(error, match=match):
            getattr(TensorFlowScorer(model, **params), work)(X)


def test_a_missing_path(tmp_path):
    fails("model='nowhere.pb' does not exist", "nowhere.pb", FileNotFoundError)
    fails("without saved_model.pb", tmp_path, FileNotFoundError)
    fails("is a URL; nothing is fetched", "https://example.com/model.pb")


def test_an_unknown_kind_of_file(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"x")
    fails("must be a SavedModel's folder, a frozen graph", tmp_path / "model.onnx")


def test_damaged_protobufs(tmp_path):
    path = frozen(tmp_path / "model.pb", two_layers)
    data = (tmp_path / "model.pb").read_bytes()
    (tmp_path / "model.pb").write_bytes(data[:-7])
    fails("is not a frozen graph .* or is damaged", path)
    (tmp_path / "model.pb").write_bytes(b"")
    fails("holds no nodes", path)
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
    fails(r"has no graph with tags=\('gpu',\); it has \[\('serve',\)\]", path, tags=("gpu",))
    fails("has no output 'scores'; its signatures are", path, outputs="scores")
    graph = frozen(tmp_path / "model.pb", two_layers)
    fails("has no output 'hiden'; .*names like it: .*'hidden'", graph, outputs="hiden")
    fails("unknown inputs", graph, inputs={"z": [0]})
    fails("must name one or more, each once", graph, outputs=[])


def test_wrong_shapes_and_types(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", two_layers))
    with pytest.raises(ValueError, match=r"The graph expects 'x'.*rows of shape \(2,\)"):
        scorer.transform(X[:, :2])
    with pytest.raises(ValueError, match=r"string|numeric|convert"):
        scorer.transform([["a", "b", "c"]])


def test_not_a_model():
    fails("The 'model' parameter", 3, error=ValueError)


def test_without_tensorflow(tmp_path):
    path = frozen(tmp_path / "model.pb", two_layers)
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from sklearn_dl import TensorFlowScorer\n"
        f"TensorFlowScorer({path!r}).transform([[1, 2, 3]])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'TensorFlowScorer needs tensorflow: pip install "sklearn-dl[tensorflow]"' in ran.stderr


def test_importing_the_class_imports_no_tensorflow():
    code = "from sklearn_dl import TensorFlowScorer as T; T('x.pb'); import sys; "
    code += "assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_screen_stays_clean(tmp_path):
    path = affine(tmp_path)
    code = (
        f"from sklearn_dl import TensorFlowScorer as T; print(T({path!r}).transform([[1, 2, 3]]))"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert ran.stdout == "[[2. 4. 6.]]\n"
    assert ran.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_raises_and_does_not_hang(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", relu()))
    scorer.transform(X)

    def work():
        with pytest.raises(RuntimeError, match="spawn or loky"):
            scorer.transform(X)
        with pytest.raises(RuntimeError, match="spawn or loky"):
            clone(scorer).fit(X)

    assert in_child(work) == 0


@pytest.mark.parametrize("embed", [True, False])
def test_in_other_processes(tmp_path, embed):
    scorer = TensorFlowScorer(affine(tmp_path / "model"), embed_model=embed)
    expected = scorer.transform(X)
    results = joblib.Parallel(n_jobs=2)(joblib.delayed(scorer.transform)(X) for _ in range(2))
    for result in results:
        np.testing.assert_array_equal(result, expected)
    with get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(scorer.transform, (X,)), expected)


def test_nothing_stays_after_many_calls(tmp_path):
    process = psutil.Process()
    scorer = TensorFlowScorer(affine(tmp_path / "model"), batch_size=64)
    rows = np.ones((1000, 3), dtype=np.float32)

    def used(n_calls):
        for _ in range(n_calls):
            scorer.transform(rows)
        gc.collect()
        return process.num_fds(), process.num_threads(), process.memory_info().rss / 1e6

    before = used(20)
    fds, threads, megabytes = np.subtract(used(200), before)
    assert max(fds, threads) < 5
    assert megabytes < 30
