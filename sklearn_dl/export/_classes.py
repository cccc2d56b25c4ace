"""The outputs of classifiers: labels and probabilities."""

import numpy as np

from sklearn_dl.export._problems import chosen
from sklearn_dl.export._table import Output

_DTYPES: dict = {
    str: object,
    np.str_: object,
    bool: bool,
    np.bool_: bool,
    int: np.int64,
    np.int64: np.int64,
    float: np.float64,
}


def class_outputs(probabilities, dtype, classes, exporter):
    """The outputs of a classifier that predicts the most probable class.

    Parameters
    ----------
    probabilities : Value of shape (N, n_classes)
        In the order of the classes. If several are equal, the first one is predicted.
    dtype : dtype
        Of `probabilities`.
    classes : ndarray of shape (n_classes,)
    exporter : Exporter

    Returns
    -------
    outputs : dict of str to Output
        "label" and "probabilities".
    """
    best = exporter.graph.ArgMax(probabilities, axis=1, keepdims=0)
    return {
        "label": chosen(known_labels(classes, exporter), best, exporter),
        "probabilities": probabilities_output(probabilities, dtype, len(classes), exporter),
    }


def known_labels(classes, exporter):
    """Return the classes as an array of a type that ONNX has: object (str), int64, bool or float64.

    Other classes are refused.
    """
    cells = np.asarray(classes).tolist()
    types = set(map(type, cells))
    if len(types) != 1 or not types <= set(_DTYPES):
        exporter.refuse(
            "its labels are not all strings, all integers or all bools",
            "Fit it on labels of one of these types.",
        )
    return np.asarray(cells, dtype=_DTYPES[types.pop()])


def probabilities_output(value, dtype, n_classes, exporter):
    """The Output of probabilities of shape (N, n_classes), in float32."""
    value = exporter.cast(value, dtype, np.float32)
    return Output(value, np.dtype(np.float32), ("N", n_classes))


def several_labels(outputs, classes, exporter):
    """The outputs of a classifier that predicts several labels, each of which is 0 or 1.

    Parameters
    ----------
    outputs : list of dict of str to Output
        For each label, as from `class_outputs`.
    classes : list of ndarray
        The two classes of each label.
    exporter : Exporter
        It refuses classes other than 0 and 1.

    Returns
    -------
    outputs : dict of str to Output
        "label" of shape (N, n_labels), and "probabilities" of the class 1, of shape (N, n_labels).
    """
    if any(list(pair) != [0, 1] for pair in classes):
        exporter.refuse(
            "it predicts several outputs that are not labels of 0 and 1",
            "Fit one classifier for each output.",
        )
    graph, n = exporter.graph, len(outputs)
    made = {
        "label": graph.Concat(*(graph.Unsqueeze(o["label"].value, [1]) for o in outputs), axis=1)
    }
    dtypes = {"label": outputs[0]["label"].dtype, "probabilities": np.dtype(np.float32)}
    if all("probabilities" in o for o in outputs):
        made["probabilities"] = graph.Concat(
            *(graph.Gather(o["probabilities"].value, [1], axis=1) for o in outputs), axis=1
        )
    return {name: Output(value, dtypes[name], ("N", n)) for name, value in made.items()}
