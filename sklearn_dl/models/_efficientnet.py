"""EfficientNet-Lite0 as an ONNX graph or a torch module, from packaged PyTorch weights."""

from pathlib import Path
from typing import Any

from sklearn_dl.models._torch_to_onnx import torch_to_onnx
from sklearn_dl.utils._optional import import_optional

_PURPOSE = 'The model "efficientnet-lite0"'
# the last block of each stride, and the name of its output in the ONNX graph
_MAPS = {4: "stride_8", 10: "stride_16", 15: "stride_32"}


def export_efficientnet(source: Path, target: Path) -> None:
    """Write ``target/efficientnet-lite0.onnx`` from the checked weights in `source`."""
    torch = import_optional("torch", extra="models", purpose=_PURPOSE)
    (target / "efficientnet-lite0.onnx").write_bytes(_export(torch, *source.iterdir()))


def efficientnet_network(source: Path | None):
    """Return the torch module that maps an image to a map of 1280 features, in evaluation mode.

    Its method `maps` returns a list of the maps of the strides 8, 16 and 32 instead. `source` is
    the folder of the checked weights; if it is None, the weights are random.
    """
    torch: Any = import_optional("torch", extra="models", purpose=_PURPOSE)

    class Features(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, image):
            return self.network.extract_features(image)

        def maps(self, image):
            return _maps(self.network, image)[0]

    network = _load(torch, *source.iterdir()) if source is not None else _load(torch)
    network._fc = torch.nn.Identity()
    return Features(network).eval()


def _load(torch, weights: Path | None = None):
    lite = import_optional("efficientnet_lite_pytorch", extra="models", purpose=_PURPOSE)
    # the initial weights are drawn from the global generator, whose state must not change
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network = lite.EfficientNet.from_name("efficientnet-lite0").float()
        if weights is not None:
            network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    return network


def _maps(network, image):
    """The outputs of the blocks in `_MAPS`, and the map of 1280 features."""
    x = network._swish(network._bn0(network._conv_stem(image)))
    maps = []
    for number, block in enumerate(network._blocks):
        x = block(x)
        if number in _MAPS:
            maps.append(x)
    return maps, network._swish(network._bn1(network._conv_head(x)))


def _export(torch, weights: Path) -> bytes:
    """Return the bytes of the ONNX graph, whose outputs are "features" and "logits".

    Inside the graph, the names of the maps of the strides 8, 16 and 32 are those in `_MAPS`.
    """

    class Outputs(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, image):
            maps, features = _maps(self.network, image)
            features = features.mean((2, 3))
            return features, self.network._fc(features), *maps

    size = torch.export.Dim
    model = torch_to_onnx(
        lambda: Outputs(_load(torch, weights)).eval(),
        {"image": torch.zeros(2, 3, 224, 256, dtype=torch.float32)},
        ["features", "logits", *_MAPS.values()],
        {"image": {0: size("N"), 2: size("H", min=32), 3: size("W", min=32)}},
        purpose=_PURPOSE,
        extra="models",
    )
    del model.graph.output[2:]  # the maps keep their names inside the graph
    return model.SerializeToString(deterministic=True)
