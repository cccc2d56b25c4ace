"""Number: a tensor of numbers in a graph, with Python's operators."""

import numpy as np
import onnx_ir as ir

from sklearn_dl.export._graph import ir_type


def _binary(operator, swapped=False, compares=False):
    """A method that adds a node with two inputs."""

    def method(self, other):
        inputs = (other, self) if swapped else (self, other)
        return self.apply(operator, *inputs, dtype=bool if compares else None)

    return method


def _unary(operator):
    """A method that adds a node with one input."""
    return lambda self: self.apply(operator, self)


class Number:
    """A tensor of numbers in a graph: ``(2 * x + y).floor()`` adds three nodes.

    If the other operand is a number or an array, it is converted to the dtype of the Number.

    Parameters
    ----------
    graph : Graph
    value : Value, array-like or number
    dtype : dtype, default=np.float64
        A Value must have it.
    """

    # without it, an array on the left would compute element by element
    __array_ufunc__ = None

    def __init__(self, graph, value, dtype=np.float64):
        self.graph = graph
        self.dtype = np.dtype(dtype)
        self.value = value if isinstance(value, ir.Value) else self.dtype.type(value)

    def apply(self, operator, *inputs, dtype=None, **attributes):
        """Add a node.

        Parameters
        ----------
        operator : str
        *inputs : Number, Value, array-like or number
            The last two get this number's dtype.
        dtype : dtype or None, default=None
            Dtype of the result. None: that of this number.
        **attributes
            As those of `Graph.node`.

        Returns
        -------
        result : Number
        """
        values = [
            i.value if isinstance(i, Number) else Number(self.graph, i, self.dtype).value
            for i in inputs
        ]
        made = self.graph.node(operator, *values, **attributes)
        return Number(self.graph, made, dtype or self.dtype)

    __add__ = __radd__ = _binary("Add")
    __sub__, __rsub__ = _binary("Sub"), _binary("Sub", swapped=True)
    __mul__ = __rmul__ = _binary("Mul")
    __truediv__, __rtruediv__ = _binary("Div"), _binary("Div", swapped=True)
    __mod__ = _binary("Mod")
    __lt__, __le__ = _binary("Less", compares=True), _binary("LessOrEqual", compares=True)
    __gt__, __ge__ = _binary("Greater", compares=True), _binary("GreaterOrEqual", compares=True)
    __and__ = _binary("And")
    __abs__ = _unary("Abs")
    at_least = _binary("Max")
    at_most = _binary("Min")
    equals = _binary("Equal", compares=True)
    floor = _unary("Floor")
    round = _unary("Round")
    sign = _unary("Sign")
    sin = _unary("Sin")
    cos = _unary("Cos")

    def max(self, **attributes):
        """The largest number."""
        return self.apply("ReduceMax", self, **attributes)

    def min(self, **attributes):
        """The smallest number."""
        return self.apply("ReduceMin", self, **attributes)

    def sum(self, axis):
        """The sums along an axis, which is kept with size 1."""
        return self.apply("ReduceSum", self, self.graph.constant([axis]))

    def unsqueeze(self, axis):
        """Add an axis of size 1."""
        return self.apply("Unsqueeze", self, self.graph.constant([axis]))

    def item(self, index):
        """The numbers at one position, or at a list of positions, along the first axis."""
        return self.apply("Gather", self, self.graph.constant(index))

    def where(self, condition, otherwise):
        """Take the number where `condition` is true, `otherwise` elsewhere."""
        return self.apply("Where", condition, self, otherwise)

    def cast(self, dtype):
        """Convert to another dtype; floats are truncated to integers."""
        return self.apply("Cast", self, to=int(ir_type(dtype)), dtype=dtype)
