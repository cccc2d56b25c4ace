"""Find the nodes that each node of a TensorFlow graph needs, even inside the functions it calls."""

from sklearn_dl.runtimes.tensorflow._safety import functions_in, scopes_of

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}


class GraphReader:
    """Find the nodes that each node of a graph needs.

    A location is a pair (function, node). The function "" is the graph itself.

    Parameters
    ----------
    graph_def : GraphDef

    Attributes
    ----------
    nodes : dict of (str, str) to NodeDef
        The nodes by location.
    gradients : set of str
        Functions that are the gradient of another function, or have a gradient function.
    """

    def __init__(self, graph_def):
        self.nodes = {}
        self._of_function: dict = {}
        self._named_by: dict = {}
        self._arguments = {
            function.signature.name: [argument.name for argument in function.signature.input_arg]
            for function in graph_def.library.function
        }
        for scope, nodes in scopes_of(graph_def):
            self._of_function.setdefault(scope, [])
            for node in nodes:
                location = scope, node.name
                self.nodes[location] = node
                self._of_function[scope].append(location)
                for name in (node.op, *functions_in(node.attr.values())):
                    self._named_by.setdefault(name, []).append(location)
        library = graph_def.library
        self.gradients = {
            *(gradient.gradient_func for gradient in library.gradient),
            *(gradient.function_name for gradient in library.gradient),
            *(gradient.gradient_func for gradient in library.registered_gradients),
        }

    def reached_from(self, names):
        """The locations that may run when the nodes `names` of the graph itself run."""
        reached: set = set()
        queue = [("", node_name(name)) for name in names]
        while queue:
            location = queue.pop()
            if location in reached or location not in self.nodes:
                continue
            reached.add(location)
            node = self.nodes[location]
            queue += [(location[0], node_name(tensor)) for tensor in node.input]
            for name in (node.op, *functions_in(node.attr.values())):
                queue += self._of_function.get(name, ()) if name else ()
        return reached

    def that_run(self, locations):
        """The functions, and the nodes of the graph itself, that run one of `locations`."""
        readers: dict = {}
        for location, node in self.nodes.items():
            for tensor in node.input:
                readers.setdefault((location[0], node_name(tensor)), []).append(location)
        functions, found, queue = set(), set(), list(locations)
        while queue:
            location = queue.pop()
            if location in found:
                continue
            found.add(location)
            scope = location[0]
            if scope:
                functions.add(scope)
                queue += self._named_by.get(scope, ())
            else:
                queue += readers.get(location, ())
        return functions, {name for scope, name in found if not scope}

    def source(self, location, position):
        """The tensor of the graph itself that a node's input always equals, or None if unknown.

        The input is that at `position` of the node at `location`. The search follows Identity, the
        argument of a function that is called in one place, and variables that are assigned once
        and that nothing else can reach.
        """
        seen = set()
        while location not in seen:
            seen.add(location)
            scope, inputs = location[0], self.nodes[location].input
            if position >= len(inputs):
                return None
            tensor = inputs[position]
            name = node_name(tensor)
            made_by = self.nodes.get((scope, name))
            if made_by is None:
                caller = self._only_caller(scope)
                if caller is None or name not in self._arguments[scope]:
                    return None
                location, position = caller, self._arguments[scope].index(name)
            elif made_by.op == "Identity":
                location, position = (scope, name), 0
            elif made_by.op == "ReadVariableOp":
                assignment = self._only_assignment(scope, made_by)
                if assignment is None:
                    return None
                location, position = assignment, 1
            else:
                return None if scope else tensor_name(tensor)
        return None

    def _only_caller(self, function):
        """The node of the graph itself that calls a function; None if other nodes also use it."""
        named = self._named_by.get(function, [])
        if len(named) != 1 or named[0][0] or function in self.gradients:
            return None
        return named[0] if self.nodes[named[0]].op in _CALLS else None

    def _only_assignment(self, scope, reading):
        """The only node that assigns to the variable that `reading` reads, or None."""
        if scope or not reading.input:
            return None
        variable = node_name(reading.input[0])
        key = self._variable_key((scope, variable))
        handles = [location for location in self.nodes if self._variable_key(location) == key]
        users = [
            location
            for location in self._of_function[scope]
            if variable in map(node_name, self.nodes[location].input)
        ]
        kinds = [self.nodes[user].op for user in users]
        alone = set(kinds) <= {"AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp"}
        if key is None or len(handles) != 1 or not alone or kinds.count("AssignVariableOp") != 1:
            return None
        return users[kinds.index("AssignVariableOp")]

    def _variable_key(self, location):
        """The name of a node's variable in the session, or None if it does not make a variable."""
        node = self.nodes.get(location)
        if node is None or node.op != "VarHandleOp":
            return None
        return node.attr["shared_name"].s or node.name.encode()


def node_name(tensor):
    """The name of the node that makes a tensor, or that a control input waits for."""
    return tensor.removeprefix("^").partition(":")[0]


def tensor_name(name):
    """A tensor's name, without the ":0" of a node's first output."""
    return name.removesuffix(":0")
