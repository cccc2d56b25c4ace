"""Refuse TensorFlow graphs that may do more than compute, before they are loaded.

The check reads the graph's protobufs. A graph runs when it is scored, and parts of it run when it
is loaded (they restore variables and fill tables). https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md
"""

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

# each nested call takes part of the stack; published models nest about ten calls
_MAX_CALL_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Operations:
    """The lists of `operations.toml`.

    Attributes
    ----------
    allowed : frozenset of str
        Operations that compute, or keep state inside the session.
    bound : frozenset of str
        Operations that read files; they are allowed only where they read the model's own files.
    refused : dict of str to str
        Reasons by name of the refused operation; ``*`` in a name stands for any letters.
    pipelines : tuple of str
        The names in `refused` of operations that feed a model while it is trained.
    """

    allowed: frozenset
    bound: frozenset
    refused: dict
    pipelines: tuple

    def why_refused(self, op):
        """The reason, as the end of a sentence that begins with the operation's name."""
        for pattern, reason in self.refused.items():
            if fnmatchcase(op, pattern):
                return reason
        return "is not on the list of operations that only compute"

    def is_known(self, op):
        """Whether an operation is on one of the lists."""
        known = op in self.allowed or op in self.bound
        return known or any(fnmatchcase(op, pattern) for pattern in self.refused)


@lru_cache(maxsize=1)
def operations():
    """The lists of allowed and refused operations."""
    text = Path(__file__).with_name("operations.toml").read_text(encoding="utf-8")
    lists = tomllib.loads(text)
    allowed = {op for group in lists["allowed"].values() for op in group["operations"]}
    groups = [*lists["refused"].values(), lists["bound"]]
    refused = {op: group["reason"] for group in groups for op in group["operations"]}
    pipelines = [lists["refused"][group]["operations"] for group in ("datasets", "waiting")]
    return Operations(
        frozenset(allowed),
        frozenset(lists["bound"]["operations"]),
        refused,
        tuple(chain.from_iterable(pipelines)),
    )


def refuse_unsafe(name, graph_def, bound=frozenset()):
    """Raise a ValueError if a graph or its function library may do more than compute.

    Parameters
    ----------
    name : str
        Name of the model in the message.
    graph_def : GraphDef
    bound : set of (str, str)
        Locations (function, node) of operations that read only the model's own files.

    Raises
    ------
    ValueError
        If operations are not allowed (the message names all of them), if two functions or two
        nodes have the same name, if functions call each other in a circle or too deep, or if a
        constant contains more than numbers and strings.
    """
    lists = operations()
    functions = _function_names(name, graph_def)
    _check_calls(name, graph_def, functions)
    known = functions | lists.allowed
    found: dict = {}

    def look(values, location):
        values = list(values)
        for op in functions_in(values) - known:
            found.setdefault(op, location)
        if any(map(_is_opaque, _tensors(values))):
            raise ValueError(
                _malformed(name, f"{location!r} contains a resource or an object, not numbers")
            )

    for scope, nodes in scopes_of(graph_def):
        seen = set()
        for node in nodes:
            if not node.name:
                raise ValueError(_malformed(name, "a node has no name"))
            if node.name in seen:
                raise ValueError(_malformed(name, f"two nodes have the name {node.name!r}"))
            seen.add(node.name)
            location = f"{scope}/{node.name}" if scope else node.name
            if (scope, node.name) not in bound and node.op not in known:
                found.setdefault(node.op, location)
            look(node.attr.values(), location)
    for function in graph_def.library.function:
        for attributes in (function, *function.arg_attr.values()):
            look(attributes.attr.values(), function.signature.name)
    if found:
        listed = "; ".join(
            f"{op} ({location}) {lists.why_refused(op)}" for op, location in sorted(found.items())
        )
        raise ValueError(
            f"{name} contains operations that may touch files, the internet, Python or the "
            f"process: {listed}. Nothing of it was loaded. If you trust its source, set "
            "allow_unsafe_ops=True."
        )


def _function_names(name, graph_def):
    """Return the names of a graph's functions; raise a ValueError if they are malformed."""
    from tensorflow.python.framework import op_def_registry

    names: set = set()
    for function in graph_def.library.function:
        own = function.signature.name
        if not own:
            raise ValueError(_malformed(name, "a function has no name"))
        if own in names:
            raise ValueError(_malformed(name, f"two functions have the name {own!r}"))
        if op_def_registry.get(own) is not None:
            raise ValueError(_malformed(name, f"the function {own!r} has the name of an operation"))
        if any(attribute.HasField("default_value") for attribute in function.signature.attr):
            raise ValueError(
                _malformed(name, f"the function {own!r} has an attribute with a default value")
            )
        names.add(own)
    return names


def _check_calls(name, graph_def, functions):
    """Raise a ValueError if calls of functions would not end, or would overflow the stack."""
    calls = {
        scope: set().union(*({node.op, *functions_in(node.attr.values())} for node in nodes))
        & functions
        for scope, nodes in scopes_of(graph_def)
    }
    depth: dict = {}
    try:
        for scope in TopologicalSorter(calls).static_order():  # what is called comes first
            depth[scope] = max((1 + depth[called] for called in calls[scope]), default=0)
    except CycleError as error:
        circle = error.args[1]
        raise ValueError(_malformed(name, f"functions call themselves ({circle})")) from None
    if max(depth.values()) > _MAX_CALL_DEPTH:
        raise ValueError(
            _malformed(name, f"functions call each other more than {_MAX_CALL_DEPTH} deep")
        )


def _malformed(name, what):
    return f"{name} is not a well-formed TensorFlow graph: {what}. Nothing of it was loaded."


def scopes_of(graph_def):
    """Yield the name of each function and its nodes; the graph itself has the name ""."""
    yield "", graph_def.node
    for function in graph_def.library.function:
        yield function.signature.name, function.node_def


def _nested(values):
    """Yield the attribute values, and those of the functions that they name, at any depth."""
    queue = list(values)
    while queue:
        value = queue.pop()
        yield value
        for function in (value.func, *value.list.func):
            queue += function.attr.values()


def functions_in(values):
    """Names of the functions that attribute values name, at any depth."""
    return {
        function.name
        for value in _nested(values)
        for function in (value.func, *value.list.func)
        if function.name
    }


def _tensors(values):
    for value in _nested(values):
        if value.HasField("tensor"):
            yield value.tensor
        yield from value.list.tensor


def _is_opaque(tensor):
    """Whether a constant is a handle or an object, which may hold a graph of its own."""
    from tensorflow import dtypes

    kinds = (dtypes.resource.as_datatype_enum, dtypes.variant.as_datatype_enum)
    return bool(tensor.dtype in kinds or tensor.variant_val or tensor.resource_handle_val)
