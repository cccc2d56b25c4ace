"""Export the networks and the heads of fitted predictors."""

import numpy as np

from sklearn_dl.models._torch_to_onnx import torch_to_onnx
from sklearn_dl.runtimes.torch._device import Where, torch_settings

_PURPOSE, _EXTRA = "to_onnx", "export"
# heads are read from live networks on the CPU
CPU = Where("cpu", "float32", _PURPOSE, _EXTRA)


def torch_outputs(exporter, make_module, inputs, sizes, examples):
    """Add a torch module to the graph.

    Parameters
    ----------
    exporter : Exporter
    make_module : callable() -> torch.nn.Module
        The module returns one Tensor.
    inputs : dict of str to Value
        In the order of the module's arguments.
    sizes, examples
        As in `torch_to_onnx`.

    Returns
    -------
    output : Value
    """
    # with another default dtype of torch, constants would have that dtype
    with torch_settings():
        model = torch_to_onnx(
            make_module,
            examples,
            ["output"],
            sizes,
            purpose=_PURPOSE,
            extra=_EXTRA,
            opset=exporter.graph.opset,
        )
    return exporter.graph.embed(model, inputs)["output"]


def head_outputs(exporter, head, features):
    """Add a LinearHead to the graph. It computes in float64, as the estimator does.

    Parameters
    ----------
    exporter : Exporter
    head : LinearHead
    features : Value
        float32 of shape (N, ..., n_features).

    Returns
    -------
    outputs : Value
        float64 of shape (N, ..., n_outputs).
    """
    graph = exporter.graph
    features = exporter.cast(features, np.dtype(np.float32), np.float64)
    return graph.Add(graph.MatMul(features, np.ascontiguousarray(head.weights.T)), head.bias)
