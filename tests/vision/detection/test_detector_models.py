"""Models that ObjectDetector accepts, and models that it refuses."""

import pickle
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import transformers
from sklearn.base import clone

from sklearn_dl import ObjectDetector, clear_sessions
from sklearn_dl.models._cache import torch_network
from sklearn_dl.vision.detection._map_source import map_sizes
from tests.vision.backbones import FOLDERS, feature_map_graph, mean_color_graph, tiny_folder
from tests.vision.detection.detectors import color_detector, constant_detector
from tests.vision.detection.drawn_squares import (
    QUICK,
    assert_equal_detections,
    drawn_images,
    small_maps,
)

SWIN = {
    "embed_dim": 8,
    "depths": [1, 1, 1],
    "num_heads": [1, 1, 1],
    "window_size": 4,
    "image_size": 64,
}
# strides of the maps that are used, and number of layers that they depend on
MAPS = {
    "resnet": ([8], 3),
    "convnext": ([8], 3),
    "mobilenet_v2": ([8, 16, 32], 17),
    "swin": ([8, 16], 4),
}


@pytest.fixture(scope="module")
def data():
    return drawn_images(4)


@pytest.fixture(scope="module", params=MAPS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        swin = (transformers.SwinForImageClassification, SWIN, 16, None)
        patch.setitem(FOLDERS, "swin", swin)
        return tiny_folder(tmp_path_factory.mktemp("folders") / kind, kind)


def state_of(detector):
    return {k: t.clone() for k, t in detector._predictor.network.live.state_dict().items()}


def changed(first, second):
    """The parts of a network in which two of them differ."""
    return {name.split(".")[0] for name, t in first.items() if not torch.equal(t, second[name])}


@pytest.mark.slow
def test_folders_of_transformers(folder, kind, data):
    strides, _ = MAPS[kind]
    detector = ObjectDetector(folder, **QUICK).fit(*data)
    assert detector._predictor.network.live.head.strides.tolist() == strides
    expected = detector.predict(data[0])
    data_ = pickle.dumps(detector)
    clear_sessions()
    assert_equal_detections(pickle.loads(data_).predict(data[0]), expected)


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["all", 1])
def test_folders_that_are_fine_tuned(folder, kind, data, layers):
    detector = ObjectDetector(folder, trainable_layers=layers, **QUICK | {"max_epochs": 1})
    barely = clone(detector).set_params(learning_rate=1e-12).fit(*data)
    detector.fit(*data)
    assert changed(state_of(detector), state_of(barely)) == {"head", "body"}
    expected = detector.predict(data[0])
    data_ = pickle.dumps(detector)
    clear_sessions()
    assert_equal_detections(pickle.loads(data_).predict(data[0]), expected)
    n_layers = MAPS[kind][1]
    with pytest.raises(ValueError, match=f"the network has {n_layers} layers"):
        detector.set_params(trainable_layers=n_layers + 1).fit(*data)


@pytest.mark.slow
def test_a_tuned_network_with_unused_maps_goes_on_after_a_pickle(tmp_path, data):
    """The ResNet also has maps of stride 4, which the head does not take."""
    detector = ObjectDetector(
        tiny_folder(tmp_path / "resnet"), trainable_layers="all", warm_start=True, **QUICK
    )
    loaded = pickle.loads(pickle.dumps(detector.fit(*data)))
    loaded.set_params(precision="bfloat16").fit(*data)
    assert loaded.history_["epoch"] == [1, 2, 3, 4]


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("size", [128, 224])
def test_a_vision_transformer_is_refused(tmp_path, data, size, layers, monkeypatch):
    """It has no feature maps, and most of them take images of one size."""
    model_class, settings, *_ = FOLDERS["vit"]
    settings = settings | {"image_size": size, "patch_size": 32}
    monkeypatch.setitem(FOLDERS, "vit", (model_class, settings, 16, 3))
    detector = ObjectDetector(
        tiny_folder(tmp_path / "vit", "vit"), trainable_layers=layers, **QUICK
    )
    message = {
        128: "vit gives no feature maps for an image of 128 x 128 pixels, but a detector learns",
        224: r"vit cannot process an image of 128 x 128 pixels \(.*224.*but a detector needs a",
    }
    with pytest.raises(ValueError, match=message[size]):
        detector.fit(*data)


def test_an_onnx_graph_with_maps(tmp_path, data):
    path = tmp_path / "maps.onnx"
    path.write_bytes(feature_map_graph(stride=8))
    detector = ObjectDetector(path, **QUICK).fit(*data)
    expected = detector.predict(data[0])
    assert_equal_detections(pickle.loads(pickle.dumps(detector)).predict(data[0]), expected)
    with pytest.raises(ValueError, match="an ONNX graph, whose layers cannot be trained"):
        detector.set_params(trainable_layers=1).fit(*data)


TABLE = np.float32([[8, 8, 4, 4, 0.9, 0.1]] * 20).T
OPEN = ("W", "H")
REFUSED = {
    "a detector": (
        constant_detector({"output0": TABLE}, size=OPEN),
        r"outputs of shape \(1, 6, 20\) .*finished detector.*apply it with DetectionScorer",
    ),
    "a detector with two outputs": (
        constant_detector({"logits": np.zeros((9, 3)), "boxes": np.zeros((9, 4))}, size=OPEN),
        r"outputs of shape \(1, 9, 3\), \(1, 9, 4\) .*apply it with DetectionScorer",
    ),
    "a detector of one size": (
        constant_detector({"output0": TABLE}),
        "takes images of 64 x 64 pixels only.*finished detector, apply it with DetectionScorer",
    ),
    "a grid of one size": (color_detector(), "320 x 320 pixels only.*DetectionScorer"),
    "features": (mean_color_graph(), r"outputs of shape \(1, 3\) .*learns from feature maps"),
    "features of one size": (mean_color_graph(fixed=[16, 16]), "16 x 16 pixels only"),
    "maps of stride 1": (feature_map_graph(), r"shape \(1, 2, 128, 128\) .* strides 8, 16, 32"),
    "channels last": (
        constant_detector({"output0": TABLE}, size=OPEN, layout="NHWC"),
        r"must have one input of shape \(n, 3, height, width\)",
    ),
    "no graph": (b"junk", "is not an ONNX model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_graphs_that_are_refused(tmp_path, data, name):
    graph, message = REFUSED[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(graph)
    with pytest.raises(ValueError, match=rf"model\.onnx.*{message}"):
        ObjectDetector(path, **QUICK).fit(*data)


class Layers(torch.nn.Module):
    """A layer for each stride, and what `returned` makes of their maps."""

    def __init__(self, returned):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Conv2d(3, 4, s, s) for s in (16, 8, 4))
        self.returned = returned

    def forward(self, pixels):
        return self.returned([layer(pixels) for layer in self.layers])


@pytest.mark.parametrize(
    ("returned", "strides"),
    [
        (lambda maps: maps, [8, 16]),
        (tuple, [8, 16]),
        (lambda maps: dict(zip("abc", maps, strict=True)), [8, 16]),
        (lambda maps: maps[0], [16]),
        # of two maps of one stride, the last
        (lambda maps: [maps[1][:, :2], *maps], [8, 16]),
    ],
    ids=["list", "tuple", "dict", "tensor", "two of a stride"],
)
@pytest.mark.parametrize("layers", [0, "all"])
def test_what_the_module_of_a_callable_returns(data, returned, strides, layers):
    detector = ObjectDetector(lambda: Layers(returned), trainable_layers=layers, **QUICK)
    detector.fit(*data)
    head = detector._predictor.network.live.head
    assert head.strides.tolist() == strides
    assert [lateral.in_channels for lateral in head.laterals] == [4] * len(strides)
    assert len(detector.predict(data[0])) == 4


@pytest.mark.parametrize("layers", [0, "all"])
@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda maps: "maps", "returns str, but it must return a list of tensors"),
        (lambda maps: None, "returns NoneType, but it must return a list of tensors"),
        (lambda maps: [maps], "returns list, but it must return a list of tensors"),
        (lambda maps: [], "gives no feature maps for an image of 128 x 128 pixels"),
        (lambda maps: maps[0].mean((2, 3)), r"gives outputs of shape \(1, 4\) for an image"),
        (lambda maps: maps[0].reshape(7), "cannot process an image of 128 x 128 pixels"),
        (lambda maps: maps[0] * torch.nan, "Row 0: the network gave features with NaN"),
    ],
    ids=["text", "None", "nested", "empty", "features", "error", "NaN"],
)
def test_modules_that_are_refused(data, returned, message, layers):
    detector = ObjectDetector(lambda: Layers(returned), trainable_layers=layers, **QUICK)
    with pytest.raises(ValueError, match=message):
        detector.fit(*data)


def test_the_last_layers_of_a_callable(data):
    detector = ObjectDetector(small_maps, trainable_layers=1, **QUICK).fit(*data)
    before, after = small_maps().state_dict(), state_of(detector)
    assert torch.equal(after["body.first.weight"], before["first.weight"])
    assert not torch.equal(after["body.second.weight"], before["second.weight"])
    with pytest.raises(ValueError, match="trainable_layers=3, but the network has 2 layers"):
        detector.set_params(trainable_layers=3).fit(*data)


def test_what_is_no_model(data):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.onnx"):
        ObjectDetector("nowhere.onnx", **QUICK).fit(*data)
    with pytest.raises(ValueError, match="`model` is a torch module"):
        ObjectDetector(small_maps(), **QUICK).fit(*data)
    with pytest.raises(ValueError, match=r"must return a torch\.nn\.Module, got int"):
        ObjectDetector(lambda: 3, **QUICK).fit(*data)


def test_map_sizes():
    sizes = map_sizes([(1, 5, 4, 4), (1, 6, 16, 16), (1, 7, 16, 16), (1, 9)], 128, "a model")
    assert (sizes.used, sizes.channels, sizes.strides) == ((2, 0), (7, 5), (8, 32))
    assert sizes.pairs == [(7, 8), (5, 32)]
    for shapes in ([(1, 5, 64, 64)], [(1, 5, 16, 8)], [(1, 5, 0, 0)], [(1, 5, 15, 15)], [(1, 16)]):
        with pytest.raises(ValueError, match=r"^a model gives outputs of shape"):
            map_sizes(shapes, 128, "a model")


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("layers", [0, 1, "all"])
def test_the_default_model(data, layers):
    detector = ObjectDetector(trainable_layers=layers, **QUICK | {"max_epochs": 1}).fit(*data)
    assert detector._predictor.network.live.head.strides.tolist() == [8, 16, 32]
    assert_equal_detections(
        pickle.loads(pickle.dumps(detector)).predict(data[0]), detector.predict(data[0])
    )


@pytest.mark.slow
@pytest.mark.real
def test_the_last_block_of_the_default_model_is_trained(data):
    """The layer behind it, which a classifier uses, does not belong to the detector."""
    detector = ObjectDetector(trainable_layers=1, **QUICK | {"max_epochs": 1}).fit(*data)
    before = torch_network("efficientnet-lite0").state_dict()
    after = state_of(detector)
    names = {name for name, t in before.items() if not torch.equal(after[f"body.{name}"], t)}
    assert names
    assert {".".join(name.split(".")[:3]) for name in names} == {"network._blocks.15"}
    with pytest.raises(ValueError, match="the network has 17 layers"):
        detector.set_params(trainable_layers=18).fit(*data)


@pytest.mark.slow
@pytest.mark.real
def test_the_graph_of_the_default_model_gives_the_maps_of_its_module(data):
    """The head may be trained on the maps of ONNX Runtime, and continue on those of torch."""
    from sklearn_dl.vision.detection._detection_network import DetectionNetwork

    onnx = ObjectDetector(warm_start=True, augment=None, **QUICK).fit(*data)
    expected = onnx.predict(data[0])
    onnx.set_params(trainable_layers="all", learning_rate=1e-12, max_epochs=1).fit(*data)
    for one, other in zip(onnx.predict(data[0]), expected, strict=True):
        np.testing.assert_allclose(one["score"][:5], other["score"][:5], atol=2e-3)
    network = DetectionNetwork(torch_network("efficientnet-lite0"))
    assert network.measure("the network").strides == (8, 16, 32)


@pytest.mark.real
@pytest.mark.skipif(find_spec("ddddocr") is None, reason="needs ddddocr, which is not imported")
def test_a_registered_detector_is_refused(data):
    with pytest.raises(ValueError, match="apply it with DetectionScorer"):
        ObjectDetector("ddddocr-detector", **QUICK).fit(*data)


def test_a_network_without_parameters_has_nothing_to_train(data):
    def pooled():
        return torch.nn.AvgPool2d(8)

    detector = ObjectDetector(pooled, image_size=96, trainable_layers="all")
    with pytest.raises(ValueError, match=r"has no parameters, .*trainable_layers='all'"):
        detector.fit(*data)


def test_maps_that_do_not_follow_the_size_of_the_image(data):
    """At 128 pixels, the maps look as if their stride were 8."""

    def always_16():
        layers = torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.AdaptiveAvgPool2d(16)
        return torch.nn.Sequential(*layers)

    with pytest.raises(ValueError, match=r"\[\(16, 16\)\], but they must have \[\(12, 12\)\]"):
        ObjectDetector(always_16, image_size=96).fit(*data)
