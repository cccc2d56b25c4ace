"""Export torch modules to ONNX."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sklearn_dl.utils._optional import import_optional

# the exporter's loggers, whose warnings do not concern our graphs
_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")


def torch_to_onnx(make_module, examples, outputs, sizes, *, purpose, extra, opset=18):
    """Export a torch module to ONNX.

    The bytes depend only on the weights and on the versions of torch and onnxscript, not on this
    machine's paths or on torch's global settings. These settings are left as they were.

    Parameters
    ----------
    make_module : callable() -> torch.nn.Module
        The module must be in evaluation mode, on the CPU.
    examples : dict of str to Tensor
        An example value of each input, by name, in the order of the module's arguments.
    outputs : list of str
        Names of the outputs.
    sizes : dict of str to dict of int to torch.export.Dim
        The axes of each input that can have other sizes.
    purpose, extra : str
        As in `import_optional`, if onnxscript is missing.
    opset : int, default=18

    Returns
    -------
    model : onnx.ModelProto
        Without stack traces and source paths of this machine.
    """
    torch = import_optional("torch", extra=extra, purpose=purpose)
    # after the first import of torch, which sets these levels; importing the exporter warns too
    with _silenced(), torch.random.fork_rng(devices=[]), torch.device("cpu"):
        import_optional("onnxscript", extra=extra, purpose=purpose)
        program = torch.onnx.export(
            make_module(),
            tuple(examples.values()),
            input_names=list(examples),
            output_names=outputs,
            dynamic_shapes=tuple(sizes[name] for name in examples),
            dynamo=True,
            external_data=False,
            opset_version=opset,
            verbose=False,
        )
    model = program.model_proto
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    return model


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
