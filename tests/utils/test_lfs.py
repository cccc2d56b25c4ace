"""Every loader raises an error that names a Git LFS pointer as such."""

import json

import numpy as np
import pytest

from sklearn_dl import ImageLoader, OnnxScorer, TensorFlowScorer, TextEncoder
from sklearn_dl.utils._lfs import refuse_pointer
from tests.scoring.onnx_graphs import external

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
MESSAGE = "is a Git LFS pointer, .*: run `git lfs pull`"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_refuse_pointer(kind):
    with pytest.raises(ValueError, match=f"^a file {MESSAGE}"):
        refuse_pointer(kind(POINTER), "a file")
    for other in (b"", b"version", b"\x08\x08" + POINTER, POINTER[1:]):
        refuse_pointer(kind(other), "a file")


@pytest.mark.parametrize("form", [str, bytes, bytearray])
def test_onnx(tmp_path, form):
    path = tmp_path / "model.onnx"
    path.write_bytes(POINTER)
    with pytest.raises(ValueError, match=MESSAGE):
        OnnxScorer(str(path) if form is str else form(POINTER)).transform([[1.0]])


def test_external_data(tmp_path):
    path = external(tmp_path)
    (tmp_path / "weights.bin").write_bytes(POINTER)
    with pytest.raises(ValueError, match=f"its data file 'weights.bin' {MESSAGE}"):
        OnnxScorer(path).transform([[1.0, 2.0, 3.0]])


@pytest.mark.parametrize("name", ["model.pb", "model.keras", "model.h5"])
def test_tensorflow_files(tmp_path, name):
    pytest.importorskip("tensorflow")
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(ValueError, match=f"{name} {MESSAGE}"):
        TensorFlowScorer(tmp_path / name).transform([[1.0]])


@pytest.mark.parametrize(
    "name",
    [
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "assets/vocabulary.txt",
    ],
)
def test_saved_model(tmp_path, name):
    pytest.importorskip("tensorflow")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(POINTER)
    with pytest.raises(ValueError, match=f"{name} {MESSAGE}"):
        TensorFlowScorer(tmp_path).transform([[1.0]])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_folder_of_transformers(tmp_path, name):
    for other in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / other).write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "model.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(ValueError, match=f"{name} {MESSAGE}"):
        TextEncoder(str(tmp_path)).transform(["a"])


def test_image(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(POINTER)
    for source in (str(path), POINTER):
        (image,) = ImageLoader().transform([source])[:, 0]
        with pytest.raises(ValueError, match=f"it {MESSAGE}"):
            np.asarray(image)
