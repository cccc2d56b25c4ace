"""One run of `to_onnx`: the graph, its inputs, and the converters of estimators.

A new estimator adds one function, decorated with `transforms` (its `transform`) or `predicts` (its
`predict`). The functions for the class `object` export the estimators that have none.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from sklearn_dl.export._graph import Graph, ir_type
from sklearn_dl.export._table import Block, Output, Table

_TRANSFORMS: dict[type, Callable[[Any, Table, "Exporter"], Table]] = {}
_PREDICTS: dict[type, Callable[[Any, Table, "Exporter"], dict[str, Output]]] = {}


def transforms(*classes):
    """Decorate ``convert(estimator, table, exporter) -> Table``, which exports a `transform`."""

    def register(convert):
        _TRANSFORMS.update(dict.fromkeys(classes, convert))
        return convert

    return register


def predicts(*classes):
    """Decorate ``convert(estimator, table, exporter) -> dict of Output``: it exports `predict`."""

    def register(convert):
        _PREDICTS.update(dict.fromkeys(classes, convert))
        return convert

    return register


class Exporter:
    """One run of `to_onnx`.

    Parameters
    ----------
    text : {"string", "utf8", "token_ids"}
        Form of the texts that enter the graph.
    resize : {"exact", "fast"}
        How images are resized.
    opset : int
        Version of the standard operators.

    Attributes
    ----------
    graph : Graph
    path : list of str
        Names of the steps that lead to the estimator that is exported now, for messages.
    metadata : dict of str to str
        What the file says about itself; converters may add to it.
    """

    def __init__(self, text="string", resize="exact", opset=18):
        self.text = text
        self.resize = resize
        self.graph = Graph(opset)
        self.path: list[str] = []
        self.metadata: dict[str, str] = {}
        self._inputs: dict[str, tuple] = {}

    def transform(self, estimator, table, step=None):
        """Add what `transform` of a fitted estimator computes.

        Parameters
        ----------
        estimator : estimator
        table : Table
        step : str or None, default=None
            Name of the step in a pipeline or union, for messages.

        Returns
        -------
        table : Table
        """
        return self._convert(_TRANSFORMS, estimator, table, step)

    def predict(self, estimator, table, step=None):
        """Add what `predict` of a fitted estimator computes.

        Returns
        -------
        outputs : dict of str to Output
            "label" and "probabilities" of a classifier, "prediction" of a regressor, ...
        """
        return self._convert(_PREDICTS, estimator, table, step)

    def _convert(self, registry, estimator, table, step):
        self.path.append(f"{type(estimator).__name__}" + (f" ({step!r})" if step else ""))
        convert = registry.get(type(estimator)) or registry[object]
        made = convert(estimator, table, self)
        self.path.pop()
        return made

    def value(self, block):
        """The Value of a block; the input of the graph is made if it does not exist yet."""
        if block.value is not None:
            return block.value
        shape: tuple = ("N", block.width)
        if block.kind == "images":
            shape = ("N", "H", "W", len(block.mode))
        elif block.kind == "tensor":
            shape = ("N", *block.shape)
        return self.input(block.name, block.dtype, shape)

    def input(self, name, dtype, shape):
        """The input of the graph with this name, which is made if it does not exist yet.

        Raises
        ------
        ValueError
            If it exists with another dtype: a text enters in two forms.
        """
        kind = np.dtype(dtype), tuple(shape)
        if name not in self._inputs:
            self._inputs[name] = kind, self.graph.input(name, dtype, shape)
        known, value = self._inputs[name]
        if known != kind:
            self.refuse(
                f"the column {name!r} would enter both as strings and as {self.text!r}",
                'Set text="string".',
            )
        return value

    def concatenated(self, table, dtype=None):
        """All columns of a table as one Value of shape (N, width), and its dtype.

        Numbers of different dtypes get the dtype that numpy gives them. Strings beside numbers are
        refused.

        Parameters
        ----------
        table : Table
        dtype : dtype or None, default=None
            The dtype to cast to.
        """
        for block in table.blocks:
            if block.kind != "columns":
                self.refuse(
                    f"it takes columns of numbers or strings, but gets {block.kind}",
                    "Convert them first, for example by an OnnxScorer or by "
                    'PixelExtractor(layout="flat").',
                )
        dtypes = {block.dtype for block in table.blocks}
        if object in dtypes and len(dtypes) > 1:
            self.refuse(
                "it takes columns of strings and of numbers together, which ONNX cannot hold in "
                "one tensor",
                "Select columns of one type for it, by a ColumnTransformer.",
            )
        if dtype is None:
            dtype = np.dtype(object) if object in dtypes else np.result_type(*dtypes)
        values = [self.cast(self.value(b), b.dtype, dtype) for b in table.blocks]
        return (values[0] if len(values) == 1 else self.graph.Concat(*values, axis=1)), dtype

    def cast(self, value, dtype, to):
        """`value`, which has `dtype`, cast to the dtype `to`."""
        return value if dtype == to else self.graph.Cast(value, to=int(ir_type(to)))

    def select(self, table, positions):
        """The Table with the columns of `table` at these positions, in this order."""
        owners = [(b, j) for b in table.blocks for j in range(b.width)]
        blocks: list[Block] = []
        run: list[int] = []

        def finish(block):
            """Add a block for the columns of `block` at the positions in `run`."""
            if run == list(range(block.width)):
                blocks.append(block)
            else:
                taken = self.graph.Gather(self.value(block), list(run), axis=1)
                blocks.append(Block("columns", block.dtype, len(run), taken))
            run.clear()

        last = None
        for position in positions:
            block, j = owners[position]
            if last is not None and (block is not last or (block.width == 1 and run)):
                finish(last)
            last = block
            run.append(j)
        if last is not None:
            finish(last)
        names = table.names and tuple(table.names[position] for position in positions)
        return Table(tuple(blocks), names)

    def refuse(self, why, what_to_do) -> NoReturn:
        """Raise the ValueError that the estimator at hand cannot be exported."""
        raise ValueError(f"{' > '.join(self.path)} cannot be exported: {why}. {what_to_do}")
