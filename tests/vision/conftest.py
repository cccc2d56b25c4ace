import pytest

from sklearn_dl.vision import _features
from tests.vision.backbones import (
    SIZE,
    colored_images,
    mean_color_graph,
    tiny_folder,
    versioned_module,
)


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("backbones") / "colors.onnx"
    path.write_bytes(mean_color_graph())
    return str(path)


@pytest.fixture(scope="session")
def resnet(tmp_path_factory):
    return str(tiny_folder(tmp_path_factory.mktemp("backbones") / "resnet"))


@pytest.fixture(params=["onnx", "folder", "module"])
def backbone(request, onnx_file, resnet):
    return {"onnx": onnx_file, "folder": resnet, "module": versioned_module}[request.param]


@pytest.fixture(params=["folder", "module"])
def trainable(request, resnet):
    return {"folder": resnet, "module": versioned_module}[request.param]


@pytest.fixture(scope="session")
def data():
    return colored_images()


@pytest.fixture
def params():
    return {
        "image_size": SIZE,
        "precision": "float32",
        "C": 100.0,
        "batch_size": 8,
        "max_epochs": 2,
        "random_state": 0,
    }


@pytest.fixture
def computed(monkeypatch):
    """The number of rows whose features were computed in each call."""
    calls, real = [], _features.computed_features

    def counted(graph, array, *args):
        calls.append(len(array))
        return real(graph, array, *args)

    monkeypatch.setattr(_features, "computed_features", counted)
    return calls
