"""Run exported image steps, for the tests."""

import numpy as np
import onnx
import onnxruntime

from sklearn_dl.export._exporter import Exporter
from sklearn_dl.export._graph import Graph
from sklearn_dl.export._inputs import read_sample


class Run:
    """A graph with one input that runs in ONNX Runtime."""

    def __init__(self, model):
        onnx.checker.check_model(model, full_check=True)
        self.model = model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, images):
        (given,) = self._session.get_inputs()
        outputs = self._session.run(None, {given.name: images})
        return outputs[0] if len(outputs) == 1 else outputs


def run_function(add, n_channels=3, opset=18):
    """Run the Values that `add(graph, images)` adds with their dtypes, by name."""
    graph = Graph(opset)
    images = graph.input("images", np.uint8, ("N", "H", "W", n_channels))
    for name, (value, dtype, rank) in add(graph, images).items():
        graph.output(name, value, dtype, (None,) * rank)
    return Run(graph.model())


def run_steps(steps, X, **options):
    """Run the transformers `steps`, exported one after the other."""
    exporter = Exporter(**options)
    table, _ = read_sample(X, steps[0])
    for step in steps:
        table = exporter.transform(step, table)
    (block,) = table.blocks
    shape = {"columns": (block.width,), "images": (None,) * 3}.get(block.kind, block.shape)
    exporter.graph.output("result", exporter.value(block), block.dtype, ("N", *shape))
    return Run(exporter.graph.model(exporter.metadata))


def noise(*shape, seed=0):
    """Random uint8 levels; half of them are 0 or 255, where filters overshoot."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(256, size=shape, dtype=np.uint8)
    return np.where(rng.random(shape) < 0.5, levels, (levels & 1) * np.uint8(255))
