"""Export OnnxScorer."""

import numpy as np
from sklearn.exceptions import NotFittedError

from sklearn_dl.export._exporter import transforms
from sklearn_dl.export._onnx_models import embedded
from sklearn_dl.export._table import Block, Output, Table
from sklearn_dl.export.vision._images import extract_with
from sklearn_dl.scoring import OnnxScorer, TensorFlowScorer
from sklearn_dl.scoring._constants import fill


@transforms(OnnxScorer)
def export_onnx_scorer(scorer, table, exporter):
    """Export the graph of an OnnxScorer, and the preparation of its inputs."""
    scorer._validate_params()
    exporter.refuse_nan(scorer)
    session = fill(scorer._any_session(), scorer.constants, False)
    specs = {spec.name: spec for spec in (*session.inputs, *session.optional_inputs)}
    values = {
        name: _fed(scorer, selected, specs[name], exporter)
        for name, selected in _selected(scorer, table, session, exporter).items()
    }
    constants = getattr(session, "constants", {})
    first = next(iter(values.values()))
    values |= {name: _constant(constants[name], first, exporter) for name in constants}
    whole = [name for name, constant in constants.items() if not constant.by_row]
    made = embedded(
        exporter, scorer._content(), scorer._asked_outputs(), values, scorer.model, whole
    )
    outputs = {}
    for spec in session.outputs:
        if spec.batch not in (None, exporter.n_rows):
            exporter.refuse(
                f"its output {spec.name!r} does not have one result per row",
                "Name other tensors in `outputs`.",
            )
        value, row = made[spec.name], spec.row_shape
        if row is None:  # the rank is not known, but an output of the file must have one
            value, row = exporter.graph.Flatten(value, axis=1), (None,)
        outputs[spec.name] = Output(value, spec.dtype, (exporter.n_rows, *row))
    return Table(_blocks(scorer, outputs, exporter), None, outputs)


@transforms(TensorFlowScorer)
def export_tensorflow_scorer(scorer, table, exporter):
    """Refuse a TensorFlowScorer, because its graph is not in ONNX."""
    exporter.refuse(
        "it runs a TensorFlow graph",
        "Convert the graph to ONNX, for example with tf2onnx, and score it with an OnnxScorer.",
    )


def _selected(scorer, table, session, exporter):
    """The columns of the table that each input of the graph gets: dict of str to Table."""
    required = [spec.name for spec in session.inputs]
    wanted, names = scorer.inputs, table.names or ()
    if wanted is None:
        if len(required) == 1 and not {*required, *session.unused_inputs} <= {*names}:
            return {required[0]: table}
        if not {*required} <= {*names}:
            exporter.refuse(
                f"its graph has the inputs {required}, but the columns are {list(names)}",
                "Pass an X_sample with these column names, or set `inputs`.",
            )
        wanted = {name: name for name in required}
    positions = list(range(table.width))

    def find(key):
        if isinstance(key, (list, tuple, np.ndarray)):
            return [position for one in key for position in find(one)]
        if isinstance(key, slice):
            return positions[key]
        if isinstance(key, str):
            if key not in names:
                exporter.refuse(
                    f"`inputs` names the column {key!r}, but the columns are {list(names)}",
                    "Pass an X_sample with this column.",
                )
            key = names.index(key)
        return [positions[key]]

    return {
        name: exporter.select(table, find(key))
        for name, key in wanted.items()
        if name not in session.unused_inputs
    }


def _fed(scorer, table, spec, exporter):
    """Return the value of one input: columns, cast to its dtype and reshaped to its row shape."""
    block, row = table.blocks[0], spec.row_shape
    if len(table.blocks) == 1 and block.kind != "columns":
        value, dtype = exporter.value(block), block.dtype
        if spec.name in (scorer.pixels or {}):
            made = extract_with(scorer.pixels[spec.name], block, exporter)
            value, dtype = exporter.value(made), made.dtype
        elif block.kind == "tensor" and row is not None and len(row) != len(block.shape):
            value = exporter.graph.Reshape(value, [0, *row])
        return exporter.cast(value, dtype, spec.dtype)
    value, dtype = exporter.concatenated(table)
    value = exporter.cast(value, dtype, spec.dtype)
    if row is None or len(row) == 1:
        return value
    return exporter.graph.Reshape(value, [0, *row])


def _constant(constant, rows, exporter):
    """Return the value of an input that is the same for all rows.

    `rows` is the value of another input, which has the number of rows.
    """
    graph = exporter.graph
    value = graph.constant(constant.value)
    if not constant.by_row:
        return value
    shape = np.array(constant.value.shape, np.int64)
    shape = graph.Concat(graph.Shape(rows, start=0, end=1), shape, axis=0)
    return graph.Expand(value, shape)


def _blocks(scorer, outputs, exporter):
    """Return the result of the scorer's `transform` as blocks; none for a dict or mixed types."""
    if scorer.output_shape == "native":
        if len(outputs) > 1:
            return ()
        ((value, dtype, shape),) = outputs.values()
        if len(shape) != 2:
            return (Block("tensor", dtype, 1, value, shape=shape[1:]),)
    dtypes = {output.dtype for output in outputs.values()}
    if object in dtypes and len(dtypes) > 1:
        return ()
    common = np.dtype(object) if object in dtypes else np.result_type(*dtypes)
    try:
        widths = _widths(scorer, outputs, exporter)
    except NotFittedError:  # no later step needs the number of columns: it would fit the scorer
        ((value, dtype, _),) = outputs.values()
        return (Block("tensor", dtype, 1, exporter.graph.Flatten(value, axis=1), shape=(None,)),)
    blocks = []
    for (value, dtype, shape), width in zip(outputs.values(), widths, strict=True):
        if len(shape) != 2:
            value = exporter.graph.Flatten(value, axis=1)
        blocks.append(Block("columns", common, width, exporter.cast(value, dtype, common)))
    return tuple(blocks)


def _widths(scorer, outputs, exporter):
    """The number of columns of each output."""
    rows = [output.shape[1:] for output in outputs.values()]
    widths = [None if None in row else int(np.prod(row)) for row in rows]
    if widths.count(None) == 1:
        # if the graph does not state the sizes, `fit` has scored a row
        n_columns = len(scorer.get_feature_names_out())
        widths[widths.index(None)] = n_columns - sum(width or 0 for width in widths)
    elif None in widths:
        exporter.refuse(
            "its graph does not state the sizes of its outputs",
            "Name one tensor in `outputs`.",
        )
    return widths
