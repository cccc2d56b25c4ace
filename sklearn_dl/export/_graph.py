"""Build ONNX graphs, node by node. Importing this module imports onnx."""

from functools import partial

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import Sequential, common

# names of the domains of operators
ML = "ai.onnx.ml"
MICROSOFT = "com.microsoft"
# as the end of a slice, it means the end of the array
END = np.iinfo(np.int64).max
# the versions of the operators of the other domains
_VERSIONS = {ML: 3, MICROSOFT: 1}


class Graph:
    """An ONNX graph that grows node by node.

    Each operator is a method: ``graph.Add(a, b)`` adds a node and returns its output, an
    `onnx_ir.Value`. An input is a Value, None for an optional input that is left out, or anything
    that `constant` accepts.

    Parameters
    ----------
    opset : int
        Version of the standard operators.
    """

    def __init__(self, opset):
        self.opset = opset
        self._graph = ir.Graph([], [], nodes=[], opset_imports={"": opset}, name="sklearn_dl")
        self._tape = ir.tape.Tape(self._graph)
        self._constants: dict[tuple, ir.Value] = {}

    def __getattr__(self, operator):
        if not operator[0].isupper():
            raise AttributeError(operator)
        return partial(self.node, operator)

    def node(self, operator, *inputs, domain="", n_outputs=1, dtype=None, **attributes):
        """Add a node.

        Parameters
        ----------
        operator : str
        *inputs : Value, None, array, number or str
        domain : str, default=""
            Domain of the operator: the standard one, `ML` or `MICROSOFT`.
        n_outputs : int, default=1
        dtype : dtype or None, default=None
            The dtype of the only output. It must be given for operators that onnx does not know.
        **attributes : int, float, str, list of these, onnx.TensorProto, or Graph
            A Graph is the body of a Loop or If; its nodes may use values of this graph.

        Returns
        -------
        output : Value, or sequence of Value if ``n_outputs > 1``
        """
        if domain:
            self._graph.opset_imports.setdefault(domain, _VERSIONS[domain])
        values = [i if i is None or isinstance(i, ir.Value) else self.constant(i) for i in inputs]
        for name, attribute in attributes.items():
            if isinstance(attribute, Graph):
                attributes[name] = attribute._graph
        outputs = self._tape.op_multi_out(
            operator, values, attributes, domain=domain, num_outputs=n_outputs
        )
        if dtype is not None:
            outputs[0].dtype = ir_type(dtype)
        return outputs[0] if n_outputs == 1 else outputs

    def constant(self, array):
        """Add a constant, or return an equal one that exists already.

        Parameters
        ----------
        array : array-like
            A bool, int, float or str, or a list of these, becomes a tensor of bool, int64, float32
            or strings. An array keeps its dtype.

        Returns
        -------
        value : Value
        """
        if not isinstance(array, (np.ndarray, np.generic)):
            array = np.asarray(array)
            of_kind = {"f": np.float32, "i": np.int64}
            array = array.astype(of_kind.get(array.dtype.kind, array.dtype))
        # the array may have its elements in another order in memory
        array = np.array(array, order="C")
        kind = array.dtype.kind
        content = tuple(map(str, array.ravel())) if kind in "OU" else array.tobytes()
        key = array.dtype.str, array.shape, content
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = self._initializer(_tensor(array, name))
        return self._constants[key]

    def integers(self, array):
        """Add a constant of int64. It is stored in the smallest type that can hold its values.

        Parameters
        ----------
        array : ndarray of int

        Returns
        -------
        value : Value
        """
        array = np.asarray(array)
        lowest, highest = array.min(initial=0), array.max(initial=0)
        dtype = np.result_type(np.min_scalar_type(lowest), np.min_scalar_type(highest))
        return self.Cast(array.astype(dtype), to=ir.DataType.INT64)

    def _initializer(self, tensor):
        value = self._tape.initializer(tensor)
        value.shape = tensor.shape
        return value

    def input(self, name, dtype, shape):
        """Add an input.

        Parameters
        ----------
        name : str
        dtype : dtype or str
            ``str`` or "str" for strings.
        shape : tuple of int or str
            A str is the name of a size that is known only when the graph runs.

        Returns
        -------
        value : Value
        """
        value = ir.val(name, ir_type(dtype), shape)
        self._graph.inputs.append(value)
        return value

    def output(self, name, value, dtype, shape):
        """Make `value` an output of the graph, under this name."""
        # a value may be an input, or an output already
        made = self.Identity(value)
        made.name, made.dtype, made.shape = name, ir_type(dtype), ir.Shape(shape)
        self._graph.outputs.append(made)

    def sort_inputs(self, names):
        """Rename and sort the inputs. `names` has the new name of each old name, in order."""
        values = {value.name: value for value in self._graph.inputs}
        self._graph.inputs.clear()
        for old, new in names.items():
            values[old].name = new
            self._graph.inputs.append(values[old])

    def embed(self, model, inputs):
        """Add all nodes of another model.

        Parameters
        ----------
        model : onnx.ModelProto
            It is not changed. Its standard operators must have the version `opset`.
        inputs : dict of str to Value
            A value for each input of `model`, by its name.

        Returns
        -------
        outputs : dict of str to Value
            The outputs of `model`, by their names.
        """
        copied = onnx.ModelProto()
        copied.CopyFrom(model)  # onnx_ir would rename its tensors
        made = ir.serde.deserialize_model(copied)
        common.InlinePass()(made)
        for domain, version in made.opset_imports.items():
            if domain not in ("", "ai.onnx"):
                known = self._graph.opset_imports.get(domain, 1)
                self._graph.opset_imports[domain] = max(known, version)
        graph = made.graph
        # in older models, an initializer is also an input; such an input is a constant
        for value in list(graph.inputs):
            if value.name in inputs:
                ir.convenience.replace_all_uses_with(
                    value, inputs[value.name], replace_graph_outputs=True
                )
        _rename_inner(graph)
        names = [value.name for value in graph.outputs]
        outputs = list(graph.outputs)
        graph.outputs.clear()
        graph.inputs.clear()
        for name, value in list(graph.initializers.items()):
            graph.initializers.pop(name)
            value.name = f"weight_{len(self._graph.initializers)}"
            self._graph.register_initializer(value)
        for node in list(graph):
            graph.remove(node)
            node.name = None
            for value in node.outputs:
                # the shapes have names of sizes of the other model
                value.name = value.shape = None
                # onnx infers the types, except for operators that it does not know
                if node.domain in ("", "ai.onnx", ML):
                    value.type = None
            self._graph.append(node)
        return dict(zip(names, outputs, strict=True))

    def model(self, metadata=None, n_rows="N"):
        """The graph as a model.

        Parameters
        ----------
        metadata : dict of str to str or None, default=None
        n_rows : int or "N", default="N"
            The size N of inputs and outputs.

        Returns
        -------
        model : onnx.ModelProto
            Without the nodes and constants that no output depends on.
        """
        opset = onnx.helper.make_opsetid("", self.opset)
        made = ir.Model(
            self._graph,
            ir_version=onnx.helper.find_min_ir_version_for([opset]),
            producer_name="sklearn_dl",
            metadata_props=dict(metadata or {}),
        )
        Sequential(
            common.RemoveUnusedNodesPass(),
            common.RemoveUnusedOpsetsPass(),
            _IdentityPass(),
            common.TopologicalSortPass(),
            common.NameFixPass(),
            # this removes stack traces with local paths, among others
            common.ClearMetadataAndDocStringPass(),
        )(made)
        for value in list(self._graph.inputs):
            if not value.uses() and not value.is_graph_output():  # a network may ignore an input
                self._graph.inputs.remove(value)
        proto = ir.serde.serialize_model(made)
        for value in (*proto.graph.input, *proto.graph.output):
            for size in value.type.tensor_type.shape.dim:
                if size.dim_param == "N" and n_rows != "N":
                    size.dim_value = n_rows
        return proto


def _rename_inner(graph):
    """Give the values in subgraphs unique names that depend on the graph only.

    The names of skl2onnx contain the number of subgraphs that the process has made so far.
    """
    bodies: dict[int, ir.Graph] = {}
    for number, node in enumerate(ir.traversal.RecursiveGraphIterator(graph)):
        if node.graph is not None and node.graph is not graph:
            bodies.setdefault(id(node.graph), node.graph)
            node.name = None
            for k, value in enumerate(node.outputs):
                value.name = f"inner_{number}_{k}"
    for number, body in enumerate(bodies.values()):
        for k, value in enumerate(body.inputs):
            value.name = f"inner_input_{number}_{k}"
        for k, (name, value) in enumerate(list(body.initializers.items())):
            body.initializers.pop(name)
            value.name = f"inner_weight_{number}_{k}"
            body.register_initializer(value)


class _IdentityPass(ir.passes.InPlacePass):
    """Remove the Identity nodes of a graph, but not those of its subgraphs.

    The pass of onnx_ir fails on a subgraph that returns a value of the graph around it.
    """

    def call(self, model):
        before = len(model.graph)
        for node in model.graph:
            if (node.op_type, node.domain) == ("Identity", ""):
                self._remove(node, node.inputs[0], node.outputs[0])
        return ir.passes.PassResult(model, len(model.graph) < before)

    def _remove(self, node, value, copy):
        name = copy.name
        if copy.is_graph_output():
            if value.producer() is None or value.is_graph_output():
                return
            value.name, value.type, value.shape = name, copy.type, copy.shape
        graph = node.graph
        ir.convenience.replace_all_uses_with(copy, value, replace_graph_outputs=True)
        graph.remove(node, safe=True)


def ir_type(dtype):
    """Return the type of ONNX tensors for a dtype of numpy (for strings: ``str`` or object)."""
    dtype = np.dtype(dtype)
    return ir.DataType.STRING if dtype.kind in "OU" else ir.DataType.from_numpy(dtype)


def _tensor(array, name):
    if array.dtype.kind in "OU":
        cells = [str(cell).encode() for cell in array.ravel()]
        return ir.StringTensor(cells, shape=ir.Shape(array.shape), name=name)
    return ir.tensor(array, name=name)
