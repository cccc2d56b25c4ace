"""EfficientNet-Lite0 as an ONNX graph or a torch module, from packaged PyTorch weights."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn_dl.utils._optional import import_optional

_PURPOSE = 'The model "efficientnet-lite0"'
# the exporter's loggers, whose warnings do not concern this graph
_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")


def export_efficientnet(source: Path, target: Path) -> None:
    """Write ``target/efficientnet-lite0.onnx`` from the checked weights in `source`.

    The bytes depend only on the weights and on the versions of torch and onnxscript, not on this
    machine's paths or on torch's global settings. These settings are left as they were.
    """
    torch = import_optional("torch", extra="models", purpose=_PURPOSE)
    # only now: the first import of torch sets these levels. The exporter's imports warn too
    with _silenced():
        content = _export(torch, *source.iterdir())
    (target / "efficientnet-lite0.onnx").write_bytes(content)


def efficientnet_network(source: Path | None):
    """Return the torch module that maps an image to a map of 1280 features, in evaluation mode.

    `source` is the folder of the checked weights; if it is None, the weights are random.
    """
    torch: Any = import_optional("torch", extra="models", purpose=_PURPOSE)

    class Features(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, image):
            return self.network.extract_features(image)

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


def _export(torch, weights: Path) -> bytes:
    """Return the bytes of the ONNX graph, whose outputs are "features" and "logits"."""
    import_optional("onnxscript", extra="models", purpose=_PURPOSE)

    class FeaturesAndLogits(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, image):
            features = self.network.extract_features(image).mean((2, 3))
            return features, self.network._fc(features)

    size = torch.export.Dim
    network = _load(torch, weights)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        program = torch.onnx.export(
            FeaturesAndLogits(network).eval(),
            (torch.zeros(2, 3, 224, 256, dtype=torch.float32),),
            input_names=["image"],
            output_names=["features", "logits"],
            dynamic_shapes=({0: size("N"), 2: size("H", min=32), 3: size("W", min=32)},),
            dynamo=True,
            opset_version=18,
            verbose=False,
        )
    model = program.model_proto
    graph = model.graph
    # these fields contain stack traces and source paths of this machine
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    return model.SerializeToString(deterministic=True)


@contextmanager
def _silenced() -> Iterator[None]:
    """Silence warnings and the exporter's loggers inside."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
