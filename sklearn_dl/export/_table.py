"""The data between two steps of an exported pipeline: columns, images or a tensor."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import onnx_ir as ir


@dataclass(frozen=True, eq=False)
class Block:
    """Neighbouring columns of a table that are one tensor of the graph.

    Attributes
    ----------
    kind : {"columns", "images", "tensor"}
        "columns": shape (N, width), numbers or strings. "images": uint8 of shape (N, H, W, C), one
        column. "tensor": any other shape with N rows, one column.
    dtype : dtype
        object for strings.
    width : int
        Number of columns.
    value : Value or None
        None: the block is the input `name` of the graph, which has not been made yet.
    name : str
        Name of that input.
    mode : {"L", "RGB", "RGBA"}
        Colours of images.
    shape : tuple of int or str
        Sizes of a row of a tensor, or of resized images, as far as they are known.
    """

    kind: Literal["columns", "images", "tensor"]
    dtype: np.dtype
    width: int = 1
    value: ir.Value | None = None
    name: str = ""
    mode: str = ""
    shape: tuple = ()

    @property
    def is_text(self):
        return self.kind == "columns" and self.dtype == object


class Table(NamedTuple):
    """Blocks of columns between two steps.

    Attributes
    ----------
    blocks : tuple of Block
    names : tuple of str or None
        Names of all columns. None: they have no names.
    outputs : dict of str to Output or None
        The outputs of the file if no step follows. None: the only output is `features`.
    """

    blocks: tuple[Block, ...]
    names: tuple[str, ...] | None = None
    outputs: "dict[str, Output] | None" = None

    @property
    def width(self):
        """Number of columns."""
        return sum(block.width for block in self.blocks)


class Output(NamedTuple):
    """One output of an exported predictor.

    Attributes
    ----------
    value : Value
    dtype : dtype
        object for strings.
    shape : tuple of int or str
        The first size is usually "N".
    """

    value: ir.Value
    dtype: np.dtype
    shape: tuple


def columns(value, dtype, width):
    """A Table of one block of numbers or strings."""
    return Table((Block("columns", np.dtype(dtype), width, value),))
