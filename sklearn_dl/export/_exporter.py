"""One run of `to_onnx`: the graph, its inputs, and the converters of estimators.

A new estimator adds one function, decorated with `transforms` (its `transform`) or `predicts` (its
`predict`). The functions for the class `object` export the estimators that have none.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_dl.export._first_windows import FirstWindows
from sklearn_dl.export._graph import Graph, ir_type
from sklearn_dl.export._table import Block, Output, Table
from sklearn_dl.models import list_models, model_card
from sklearn_dl.text._tokenizer import Tokenizer

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


class TokenInput(NamedTuple):
    """An input of the file that takes token ids.

    Attributes
    ----------
    kind : {"input_ids", "attention_mask", "token_type_ids", "word_shape"}
    columns : tuple of str
        The column of texts, or the two columns that are read together.
    tokenizer : Tokenizer or FirstWindows
    """

    kind: str
    columns: tuple[str, ...]
    tokenizer: Tokenizer | FirstWindows


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
        Names of the steps that lead to the estimator that is being exported, for messages.
    metadata : dict of str to str
        The metadata of the file. Converters may add to it.
    sources : dict of str to (str or None)
        The licence of each network in the graph, by its sha256. None: it is not known.
    n_rows : int or "N"
        Number of rows in each run of the file. "N": any number.
    tokens : dict of str to TokenInput
        The inputs that take token ids, by their names.
    score_threshold : float or None
        The parameter of the detector, if there is one. Each run of a detector takes one image, so
        its outputs have no rows.
    token_outputs : callable or None
        As in `Built`.
    """

    def __init__(self, text="string", resize="exact", opset=18):
        self.text = text
        self.resize = resize
        self.graph = Graph(opset)
        self.path: list[str] = []
        self.metadata: dict[str, str] = {}
        self.sources: dict[str, str | None] = {}
        self.n_rows: int | str = "N"
        self.tokens: dict[str, TokenInput] = {}
        self.score_threshold: float | None = None
        self.token_outputs: Callable[[dict], dict] | None = None
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
        check_is_fitted(estimator)
        self.path.append(f"{type(estimator).__name__}" + (f" ({step!r})" if step else ""))
        convert = registry.get(type(estimator)) or registry[object]
        made = convert(estimator, table, self)
        self.path.pop()
        return made

    def value(self, block):
        """Return the Value of a block. If it is an input that does not exist yet, add the input."""
        if block.value is not None:
            return block.value
        shape: tuple = ("N", block.width)
        if block.kind == "images":
            # for ONNX Runtime, sizes with the same name are equal, so each image column has its own
            shape = ("N", f"{block.name}__H", f"{block.name}__W", len(block.mode))
        elif block.kind == "tensor":
            shape = ("N", *block.shape)
        return self.input(block.name, block.dtype, shape)

    def text_value(self, block, form):
        """Return the Value of a column of texts as "string" or "utf8"."""
        if form == "utf8":
            return self.input(block.name, np.uint8, ("N", f"{block.name}__n_bytes"))
        return self.value(block)

    def token_input(self, token_input):
        """Return the input that a TokenInput describes. Add it if it does not exist yet."""
        columns = "__".join(token_input.columns)
        name = f"{columns}__{token_input.kind}"
        if self.tokens.setdefault(name, token_input) != token_input:
            self.refuse(
                f"two encoders with different tokenizers read the column {columns!r}, which "
                "enters as token ids",
                "Pass the texts in two columns, one for each encoder.",
            )
        return self.input(name, np.int64, ("N", f"{columns}__length"))

    def finish_inputs(self, columns, outputs):
        """Sort the inputs by the order of the columns, and shorten the names of token inputs.

        Parameters
        ----------
        columns : list of str
            The columns of the sample.
        outputs : collection of str
            The outputs of the file.

        Raises
        ------
        ValueError
            If a column has the name of an output or of an input for token ids, or no name.
        """
        one_text = len({token.columns for token in self.tokens.values()}) == 1
        renamed = {n: t.kind if one_text else n for n, t in self.tokens.items()}
        self.tokens = {renamed[name]: token for name, token in self.tokens.items()}
        for name in self._inputs.keys() - renamed.keys():
            if not name or name in outputs or name in self.tokens:
                what = "an output" if name in outputs else "an input for token ids"
                raise ValueError(
                    f"X_sample: the column {name!r} has "
                    + (f"the name of {what} of the exported file" if name else "no name")
                    + ". Rename the column, and fit again."
                )
        order = sorted(
            self._inputs,
            key=lambda name: columns.index(
                self.tokens[renamed[name]].columns[0] if name in renamed else name
            ),
        )
        self.graph.sort_inputs({name: renamed.get(name, name) for name in order})

    def input(self, name, dtype, shape):
        """Return the input of the graph with this name. Add it if it does not exist yet.

        Raises
        ------
        ValueError
            If it exists with another dtype, because a text is read in two forms, or because a
            column has the name of an input for token ids.
        """
        kind = np.dtype(dtype), tuple(shape)
        if name not in self._inputs:
            self._inputs[name] = kind, self.graph.input(name, dtype, shape)
        known, value = self._inputs[name]
        if known != kind and name in self.tokens:
            self.refuse(
                f"the column {name!r} has the name of an input for token ids",
                "Rename the column, and fit again.",
            )
        if known != kind:
            self.refuse(
                f"the model would need the column {name!r} both as strings and as {self.text!r}",
                'Set text="string".',
            )
        return value

    def concatenated(self, table, dtype=None):
        """Return all columns of a table as one Value of shape (N, width), and its dtype.

        Numbers of different dtypes get the dtype that numpy's promotion gives. Strings together
        with numbers are refused.

        Parameters
        ----------
        table : Table
        dtype : dtype or None, default=None
            The dtype to cast to.
        """
        if not table.blocks:
            self.refuse(
                "it takes columns, but the outputs of the scorer before it are not a table",
                "Name one tensor in `outputs` of the scorer.",
            )
        for block in table.blocks:
            if block.kind != "columns":
                self.refuse(
                    f"it takes columns of numbers or strings, but gets {block.kind}",
                    "Convert them first, for example with an OnnxScorer or with "
                    'PixelExtractor(layout="flat").',
                )
        dtypes = {block.dtype for block in table.blocks}
        if object in dtypes and len(dtypes) > 1:
            self.refuse(
                "it takes columns of strings and of numbers together, but a tensor of ONNX has one "
                "type",
                "Select columns of one type for it with a ColumnTransformer.",
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

    def fix_rows(self, n_rows):
        """Fix the number of rows of each run of the file.

        Raises
        ------
        ValueError
            If another part of the graph needs another number.
        """
        if self.n_rows not in ("N", n_rows):
            self.refuse(
                f"its network has the fixed batch size {n_rows}, but another network has "
                f"{self.n_rows}",
                "Export the two separately.",
            )
        self.n_rows = n_rows

    def made_from(self, sha256, model):
        """Record that the graph has the network with this hash. `model` is the parameter."""
        licence = None
        if isinstance(model, str) and model in list_models():
            licence = model_card(model).license
        self.sources[sha256] = licence

    def refuse_nan(self, estimator):
        """Raise a ValueError if the estimator has ``on_error="nan"``."""
        if estimator.on_error == "nan":
            self.refuse(
                'on_error="nan" is not possible, because an ONNX model cannot skip a row',
                'Call set_params(on_error="raise"). The estimator need not be fitted again.',
            )

    def refuse(self, why, what_to_do) -> NoReturn:
        """Raise a ValueError that says why the current estimator cannot be exported."""
        raise ValueError(f"{' > '.join(self.path)} cannot be exported: {why}. {what_to_do}")
