"""Build the onnx.ModelProto of an export, from an estimator and a sample of X."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx
from sklearn.compose import ColumnTransformer

from sklearn_dl._version import __version__

# these modules register their converters when they are imported
from sklearn_dl.export import _labels, _scorers, _text, _token_predictors  # noqa: F401
from sklearn_dl.export._exporter import Exporter
from sklearn_dl.export._inputs import first_step, made_up_sample, read_sample
from sklearn_dl.export._onnx_models import NeedsOpset
from sklearn_dl.export._table import Output
from sklearn_dl.export.scikit_learn import (  # noqa: F401
    _boosting,
    _calibration,
    _composites,
    _encoders,
    _ensembles,
    _neighbors,
    _selection,
    _sklearn,
    _trees,
)
from sklearn_dl.export.vision import (  # noqa: F401
    _detection,
    _images,
    _object_detector,
    _vision,
)

_MIN_OPSET = 18
# protobuf cannot write larger messages
_MAX_BYTES = 2**31 - 1


class Built(NamedTuple):
    """An exported model, and what is needed to compare it with its estimator.

    Attributes
    ----------
    model : onnx.ModelProto
    estimator : estimator
    X : array-like
        The sample.
    values : dict of str to ndarray
        The cells of the columns of X, as in `read_sample`.
    tokens : dict of str to TokenInput
        The inputs that take token ids, by their names.
    n_rows : int or "N"
        Number of rows of each run.
    has_images : bool
    score_threshold : float or None
        The parameter of the detector, if there is one. Each run of a detector takes one image, so
        its outputs have no rows.
    token_outputs : callable(values) -> dict of str to list of ndarray, or None
        A function for models whose outputs belong to tokens, because `predict` does not return
        these outputs. It computes the outputs for the tokens of each row of `values`, without
        padding.
    """

    model: onnx.ModelProto
    estimator: Any
    X: Any
    values: dict
    tokens: dict
    n_rows: int | str
    has_images: bool
    score_threshold: float | None
    token_outputs: Callable[[dict], dict] | None

    @property
    def n_sampled(self):
        """Number of rows of the sample."""
        return len(next(iter(self.values.values())))


def build(estimator, X, text, resize, target_opset):
    """Build the model of an estimator. The parameters are those of `to_onnx`.

    Returns
    -------
    built : Built
    """
    newest = onnx.defs.onnx_opset_version()
    if target_opset is not None and target_opset > newest:
        raise ValueError(
            f"target_opset={target_opset} is newer than {newest}, the newest of the installed onnx."
        )
    if X is None:
        X = made_up_sample(estimator)
    table, values = read_sample(X, estimator)
    check_columns(estimator, table)
    exporter = Exporter(text, resize, target_opset or _MIN_OPSET)
    try:
        outputs = _fill(exporter, estimator, table)
    except NeedsOpset as needed:
        if target_opset is not None:
            raise ValueError(
                f"target_opset={target_opset}, but the estimator has an ONNX model of opset "
                f"{needed}: set target_opset=None, or at least {needed}."
            ) from None
        exporter = Exporter(text, resize, needed.args[0])
        outputs = _fill(exporter, estimator, table)
    exporter.finish_inputs(list(values), outputs)
    exporter.metadata |= {
        "package": f"sklearn_dl {__version__}",
        "estimator": type(estimator).__name__,
        "text": text,
        # the hashes, and the licences, of the networks
        "made_from": json.dumps(exporter.sources),
    }
    if hasattr(estimator, "classes_"):
        exporter.metadata["classes"] = json.dumps(np.asarray(estimator.classes_).tolist())
    model = exporter.graph.model(exporter.metadata, exporter.n_rows)
    size = model.ByteSize()
    if size > _MAX_BYTES:
        raise ValueError(
            f"The model has {size / 2**30:.1f} GiB, but an ONNX file holds at most 2 GiB. Export "
            "a smaller network."
        )
    onnx.checker.check_model(model, full_check=True)
    return Built(
        model,
        estimator,
        X,
        values,
        exporter.tokens,
        exporter.n_rows,
        has_images=any(block.kind == "images" for block in table.blocks),
        score_threshold=exporter.score_threshold,
        token_outputs=exporter.token_outputs,
    )


def _fill(exporter, estimator, table):
    """Add what the estimator computes to the graph; return its outputs as a dict of Output."""
    if hasattr(estimator, "predict"):
        outputs = exporter.predict(estimator, table)
    else:
        outputs = _outputs(exporter, exporter.transform(estimator, table))
    for name, output in outputs.items():
        exporter.graph.output(name, *output)
    return outputs


def _outputs(exporter, table):
    """The outputs of a file that ends with a transformer."""
    if table.outputs is not None:
        return table.outputs
    if len(table.blocks) == 1 and table.blocks[0].kind != "columns":
        (block,) = table.blocks
        value = exporter.value(block)
        if block.kind == "images":
            return {"images": Output(value, block.dtype, ("N", None, None, len(block.mode)))}
        return {"features": Output(value, block.dtype, ("N", *block.shape))}
    value, dtype = exporter.concatenated(table)
    if dtype.kind == "f":
        value, dtype = exporter.cast(value, dtype, np.float32), np.dtype(np.float32)
    return {"features": Output(value, dtype, ("N", table.width))}


def check_columns(estimator, table):
    """Raise a ValueError if the estimator was not fitted on the columns of the sample."""
    name = type(estimator).__name__
    names = getattr(estimator, "feature_names_in_", None)
    width = getattr(estimator, "n_features_in_", None)
    if names is not None and table.names is not None:
        # a ColumnTransformer finds its columns by their names, so X may have other columns too
        chooses = isinstance(first_step(estimator), ColumnTransformer)
        fits = {*names} <= {*table.names} if chooses else list(names) == list(table.names)
        shown = f"the columns {list(table.names)}", f"{list(names)}"
    else:
        fits, shown = width in (None, table.width), (f"{table.width} columns", f"{width}")
    if not fits:
        raise ValueError(
            f"X_sample has {shown[0]}, but {name} was fitted on {shown[1]}: pass rows of the data "
            "that it was fitted on."
        )
