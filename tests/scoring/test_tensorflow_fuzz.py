"""Damaged and mutated SavedModels: refused, or free of what touches files."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_dl import TensorFlowScorer
from sklearn_dl.runtimes.tensorflow._files import bind_files, find_loading
from sklearn_dl.runtimes.tensorflow._load import read_saved_model
from sklearn_dl.runtimes.tensorflow._safety import operations, refuse_unsafe, scopes_of
from tests.scoring.tensorflow_models import affine, with_reference_variables, with_vocabulary

FEW = settings(max_examples=40, derandomize=True, deadline=None)
MANY = settings(max_examples=200, derandomize=True, deadline=None)
X = np.ones((2, 3), dtype=np.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("models")
    (made / "words.csv").write_text("cat,7\n")
    affine(made / "affine")
    with_vocabulary(made / "vocabulary", made / "words.csv")
    with_reference_variables(made / "references")
    return [made / name for name in ("affine", "vocabulary", "references")]


def calls(values):
    """Functions that attribute values name, at any depth: written again, not imported."""
    for value in values:
        for function in [value.func, *value.list.func]:
            if function.name:
                yield function.name
                yield from calls(function.attr.values())


def prepared(folder):
    """The graphs of a SavedModel as they would be loaded, or None if it is refused."""
    try:
        saved = read_saved_model(folder, "model")
        for meta_graph in saved.meta_graphs:
            bound = bind_files(meta_graph, find_loading("model", meta_graph, folder))
            refuse_unsafe("model", meta_graph.graph_def, bound)
    except (ValueError, FileNotFoundError):
        return None
    return [meta_graph.graph_def for meta_graph in saved.meta_graphs]


def check_harmless(graph_def, folder):
    lists = operations()
    functions = [function.signature.name for function in graph_def.library.function]
    assert len(set(functions)) == len(functions)
    for _, nodes in scopes_of(graph_def):
        by_name = {node.name: node for node in nodes}
        assert len(by_name) == len(nodes)
        for node in nodes:
            if node.op in lists.bound:
                path = by_name[node.input[0 if node.op == "RestoreV2" else 1].partition(":")[0]]
                assert path.op == "Const"
                (text,) = path.attr["value"].tensor.string_val
                assert text.decode().startswith(str(folder))
            else:
                assert node.op in lists.allowed or node.op in functions
            assert set(calls(node.attr.values())) <= lists.allowed | set(functions)


def change_bytes(data, folders):
    """Change a few bytes of a SavedModel: it is refused or harmless."""
    folder = data.draw(st.sampled_from(folders))
    original = (folder / "saved_model.pb").read_bytes()
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        length = data.draw(st.integers(0, 3))
        changed[place : place + length] = data.draw(st.binary(max_size=3))
    try:
        (folder / "saved_model.pb").write_bytes(changed)
        for graph_def in prepared(folder) or ():
            check_harmless(graph_def, folder)
    finally:
        (folder / "saved_model.pb").write_bytes(original)


def all_nodes(graph_def):
    return [node for _, nodes in scopes_of(graph_def) for node in nodes]


def mutate(data, meta_graph):
    """Change what a graph does, in one of the ways that attackers need."""
    graph_def = meta_graph.graph_def
    nodes = all_nodes(graph_def)
    node, other = (data.draw(st.sampled_from(nodes)) for _ in range(2))
    kind = data.draw(
        st.sampled_from(["op", "input", "control", "call", "rename", "copy", "add", "saver"])
    )
    risky = ["WriteFile", "ReadFile", "SaveV2", "RestoreV2", "PyFunc", "PartitionedCall"]
    if kind == "op":
        node.op = data.draw(st.sampled_from([*risky, other.op]))
    elif kind == "input" and node.input:
        node.input[data.draw(st.integers(0, len(node.input) - 1))] = other.name
    elif kind == "control":
        node.input.append(f"^{other.name}")
    elif kind == "call" and graph_def.library.function:
        function = data.draw(st.sampled_from(list(graph_def.library.function)))
        node.attr["f"].func.name = function.signature.name
    elif kind == "rename":
        node.name = other.name
    elif kind == "copy" and graph_def.library.function:
        function = data.draw(st.sampled_from(list(graph_def.library.function)))
        graph_def.library.function.add().CopyFrom(function)
    elif kind == "add":
        graph_def.node.add(name="added", op=data.draw(st.sampled_from(risky)), input=[other.name])
        node.input.append("^added")
    elif kind == "saver":
        name = data.draw(
            st.sampled_from(["restore_op_name", "save_tensor_name", "filename_tensor_name"])
        )
        setattr(meta_graph.saver_def, name, node.name)


def change_graph(data, folders):
    """Change the graph of a SavedModel: it is refused, or harmless when it runs."""
    folder = data.draw(st.sampled_from(folders))
    original = (folder / "saved_model.pb").read_bytes()
    saved = read_saved_model(folder, "model")
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(data, saved.meta_graphs[0])
    try:
        (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
        for graph_def in prepared(folder) or ():
            check_harmless(graph_def, folder)
            before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            rows = ["cat"] if folder.name == "vocabulary" else X
            with suppress(ValueError):
                TensorFlowScorer(folder).transform(rows)
            assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    finally:
        (folder / "saved_model.pb").write_bytes(original)


@FEW
@given(data=st.data())
def test_some_changes_of_bytes(folders, data):
    change_bytes(data, folders)


@pytest.mark.slow
@FEW
@given(data=st.data())
def test_some_changes_of_graphs(folders, data):
    change_graph(data, folders)


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_many_changes_of_bytes(folders, data):
    change_bytes(data, folders)


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_many_changes_of_graphs(folders, data):
    change_graph(data, folders)
