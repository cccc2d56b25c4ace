"""The function that exports fitted estimators to ONNX."""

import numpy as np


def to_onnx(estimator, X_sample=None, *, text="string", resize="exact", target_opset=None):
    """Export a fitted estimator to ONNX."""
    from sklearn_dl.export._exporter import Exporter
    from sklearn_dl.export._inputs import read_sample

    table, _ = read_sample(X_sample, estimator)
    exporter = Exporter(text, resize, target_opset or 18)
    if hasattr(estimator, "predict"):
        outputs = exporter.predict(estimator, table)
        for name, output in outputs.items():
            exporter.graph.output(name, *output)
    else:
        made = exporter.transform(estimator, table)
        value, dtype = exporter.concatenated(made)
        if dtype.kind == "f":
            value, dtype = exporter.cast(value, dtype, np.float32), np.dtype(np.float32)
        exporter.graph.output("features", value, dtype, ("N", made.width))
    return exporter.graph.model(exporter.metadata)
