"""Damaged ONNX files give numbers or an error that says so, whatever the damage.

Our own code is tested in this process. Opening and running graphs is native code: one test does so
here with few examples, a slow one with many in another process, where a crash or hang is a failure.
"""

import multiprocessing
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from sklearn_dl import OnnxScorer, clear_sessions
from sklearn_dl.models import _onnx as _onnx_model
from sklearn_dl.models import _onnx_external
from sklearn_dl.runtimes.onnx import _graph as _onnx_graph
from tests.scoring.hostile_onnx import INNER_PLACES, graph_that_calls, graph_with_inner_tensor
from tests.scoring.onnx_graphs import WEIGHTS, add_and_multiply, external, mean_color, two_layers

X = np.ones((2, 3), dtype=np.float32)
FIXED = settings(max_examples=400, derandomize=True, deadline=None, database=None)
FEW = settings(FIXED, max_examples=50)


@cache
def files(folder):
    """Bytes of valid models, some with external data in `folder`."""
    beside = external(folder, WEIGHTS)
    calls = graph_that_calls({"f": [], "g": ["f", "f"]})
    made = [two_layers(), add_and_multiply(), mean_color(), calls]
    made += [graph_with_inner_tensor(place, "weights.bin") for place in INNER_PLACES]
    return [beside.read_bytes(), *(each.SerializeToString() for each in made)]


@st.composite
def damaged(draw, folder):
    """Bytes of a model, some of them changed, added or left out."""
    data = bytearray(draw(st.sampled_from(files(folder))))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = start + draw(st.integers(0, 4))
        data[start:stop] = draw(st.binary(max_size=4))
    return bytes(data)


def error_of_preparing(path, outputs):
    """The exception of our own code that reads a file, or None."""
    try:
        content = _onnx_model.find_onnx(path)
        content.read_whole()
        _onnx_graph._prepare(content, outputs)
    except Exception as error:
        return error
    return None


@pytest.mark.slow
def test_damaged_files_are_prepared_or_refused(tmp_path):
    path = tmp_path / "damaged.onnx"
    sound = files(tmp_path)[0]
    seen = set()

    @example(sound, None)
    @example(sound[:40], None)
    @FIXED
    @given(damaged(tmp_path), st.sampled_from([None, ("y",), ("hidden",), ("none",)]))
    def check(data, outputs):
        path.write_bytes(data)
        error = error_of_preparing(path, outputs)
        seen.add(type(error))
        assert type(error) in (type(None), ValueError, FileNotFoundError)
        assert error is None or "damaged.onnx" in str(error) or "has no output" in str(error)

    check()
    assert {type(None), ValueError} <= seen


NUMBERS = st.one_of(st.integers(-2, 30), st.integers(-(2**70), 2**70)).map(str) | st.text()
LOCATIONS = st.lists(
    st.sampled_from(["weights.bin", "sub", "out", "..", ".", "", "/", "\\", "~", "\0"]) | st.text()
).map("/".join)
TENSORS = st.fixed_dictionaries(
    {"location": st.just("weights.bin") | LOCATIONS},
    optional={"offset": NUMBERS, "length": NUMBERS, "checksum": st.text()},
)
SIZES = st.lists(st.integers(0, 4) | st.integers(-(2**63), 2**63 - 1), max_size=3)


@pytest.mark.slow
def test_a_tensor_reads_no_file_outside_the_folder(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    content = bytes(range(24))
    (tmp_path / "weights.bin").write_bytes(b"secret" * 4)
    (folder / "out").symlink_to(tmp_path)
    for below in (folder, folder / "sub"):
        (below / "weights.bin").write_bytes(content)
    opened, real = set(), _onnx_external.open_file
    monkeypatch.setattr(
        _onnx_external, "open_file", lambda path: (opened.add(Path(path)), real(path))[1]
    )
    read = 0

    # hypothesis draws other examples whenever the package's constants change
    @example({"location": "weights.bin"}, [3, 2], 1)
    @example({"location": "weights.bin", "offset": "4", "length": "8"}, [1, 2], 1)
    @example({"location": "sub/weights.bin"}, [2], 1)
    @FIXED
    @given(TENSORS, SIZES, st.sampled_from([1, 2, 16, 22]) | st.integers(-2, 40))
    def check(entries, dims, kind):
        nonlocal read
        made = TensorProto(name="w", dims=dims, data_type=kind, data_location=TensorProto.EXTERNAL)
        for key, entry in entries.items():
            made.external_data.add(key=key, value=entry)
        try:
            [external] = _onnx_external.external_tensors([made], "model.onnx")
            data = _onnx_external.DataFiles(str(folder / "model.onnx")).read(external)
        except (ValueError, FileNotFoundError) as error:
            assert str(error).partition(" ")[0].endswith("model.onnx")  # noqa: PT017
        else:
            start = int(entries.get("offset", 0))
            assert data == content[start : start + external.n_bytes]
            read += 1

    check()
    assert read >= 3
    assert opened == {folder / "weights.bin", folder / "sub" / "weights.bin"}


def score_damaged_files(folder, settings):
    path = folder / "damaged.onnx"

    @settings
    @given(damaged(folder))
    def check(data):
        path.write_bytes(data)
        clear_sessions()
        try:
            scored = OnnxScorer(path, n_threads=1).transform(X)
        except (ValueError, FileNotFoundError):
            return
        assert isinstance(scored, np.ndarray)
        assert len(scored) == len(X)

    check()


def test_damaged_files_are_scored_or_refused(tmp_path):
    score_damaged_files(tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_damaged_files_do_not_crash_or_hang_a_process(tmp_path):
    process = multiprocessing.get_context("spawn").Process(
        target=score_damaged_files, args=(tmp_path, FIXED)
    )
    process.start()
    process.join(120)
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode == 0, f"{tmp_path}/damaged.onnx crashed or hung the process"
