"""Functions of an ONNX model that call each other in a circle, too deep or too often."""

import pytest
from numpy.testing import assert_array_equal

from sklearn_dl import OnnxScorer
from tests.scoring import hostile_onnx
from tests.scoring.hostile_onnx import graph_of_doubling_calls, graph_that_calls

X = hostile_onnx.X[:, :2]


@pytest.mark.parametrize(
    ("calls", "circle"),
    [
        pytest.param({"f": ["f"]}, r"\['f', 'f'\]", id="itself"),
        pytest.param(
            {"f": ["g"], "g": ["h"], "h": ["f"]}, "'f'.*'f'|'g'.*'g'|'h'.*'h'", id="by two others"
        ),
    ],
)
def test_functions_that_call_themselves(calls, circle):
    with pytest.raises(ValueError, match=f"has functions that call themselves .*{circle}"):
        OnnxScorer(graph_that_calls(calls)).transform(X)


def test_a_function_that_calls_itself_by_the_other_name_of_onnx():
    proto = graph_that_calls({"f": ["f"]})
    proto.functions[0].domain = ""
    proto.functions[0].node[0].domain = "ai.onnx"
    with pytest.raises(ValueError, match="has functions that call themselves"):
        OnnxScorer(proto).transform(X)


def graph_of_nested_calls(depth):
    """A graph that calls a function, which calls another, and so on."""
    calls = {f"f{i}": [f"f{i - 1}"] for i in range(1, depth)}
    return graph_that_calls({"f0": [], **calls})


def test_calls_as_deep_as_they_may_be():
    assert_array_equal(OnnxScorer(graph_of_nested_calls(100)).transform(X), -X)


# 3,000 is more than Python can recurse
@pytest.mark.parametrize("depth", [101, 3_000])
def test_calls_that_are_too_deep(depth):
    with pytest.raises(ValueError, match=f"nests calls of functions {depth} deep; at most 100"):
        OnnxScorer(graph_of_nested_calls(depth)).transform(X)


def test_calls_that_double():
    # 32 sign changes
    assert_array_equal(OnnxScorer(graph_of_doubling_calls(5)).transform(X), X)
    with pytest.raises(ValueError, match="make a graph of more than 1,000,000 nodes"):
        OnnxScorer(graph_of_doubling_calls(40)).transform(X)
