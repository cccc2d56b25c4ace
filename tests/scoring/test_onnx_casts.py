"""Casts: numpy's same_kind, plus int when every value is integral and in range."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_dl import OnnxScorer
from tests.scoring.onnx_graphs import same

INTEGERS = [f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)]
FLOATS = ["float16", "float32", "float64"]


def through_a_graph(values, dtype):
    """A column of values as a graph of that input type gives it back."""
    return OnnxScorer(same(np.dtype(dtype), ["N", 1])).transform(np.reshape(values, (-1, 1)))[:, 0]


@pytest.mark.parametrize("given", [*INTEGERS, *FLOATS, "bool"])
@pytest.mark.parametrize("wanted", [*INTEGERS, *FLOATS, "bool"])
def test_every_pair_of_types(given, wanted):
    out = through_a_graph(np.array([0, 1, 1], given), wanted)
    assert out.dtype == wanted
    assert out.tolist() == [0, 1, 1]


@pytest.mark.parametrize("wanted", INTEGERS)
def test_edges_of_integers(wanted):
    info = np.iinfo(wanted)
    wider = np.uint64 if info.max > 2**63 else np.int64
    assert through_a_graph(np.array([info.max], wider), wanted).tolist() == [info.max]
    assert through_a_graph(np.array([info.min], np.int64), wanted).tolist() == [info.min]
    for beyond in (info.min - 1, info.max + 1):
        if -(2**63) <= beyond < 2**64:
            values = np.array([1, beyond], np.int64 if beyond < 2**63 else np.uint64)
            with pytest.raises(ValueError, match=rf"Row 1: the value {beyond} cannot be {wanted}"):
                through_a_graph(values, wanted)


@pytest.mark.parametrize("given", FLOATS)
@pytest.mark.parametrize("wanted", INTEGERS)
def test_edges_of_integers_from_floats(given, wanted):
    info = np.iinfo(wanted)
    largest = float(np.finfo(given).max)
    over = np.array(min(float(info.max) + 1, largest), given)
    with np.errstate(over="ignore"):
        under = np.nextafter(np.array(max(float(info.min), -largest), given), -np.inf)
    if float(over) > info.max:
        with pytest.raises(ValueError, match=rf"Row 1: the value .* cannot be {wanted}"):
            through_a_graph(np.array([1, over], given), wanted)
        below = np.floor(np.nextafter(over, 0))
        assert int(through_a_graph(np.array([below]), wanted)[0]) == int(below)
    if np.isfinite(under):
        with pytest.raises(ValueError, match="cannot be"):
            through_a_graph(np.array([under], given), wanted)
    if abs(info.min) <= largest:
        assert through_a_graph(np.array([info.min], given), wanted)[0] == info.min


@pytest.mark.parametrize("wanted", INTEGERS)
@pytest.mark.parametrize("value", [0.5, 1.0001, 1e300])
def test_values_that_are_not_integral(wanted, value):
    with pytest.raises(ValueError, match=rf"Row 2: .* cannot be {wanted} without loss; .*'x'"):
        through_a_graph(np.array([1, 2, value]), wanted)


def test_values_that_are_not_bool():
    with pytest.raises(ValueError, match="Row 1: the value 2 cannot be bool"):
        through_a_graph(np.array([1, 2]), bool)


def test_floats_are_rounded_but_never_made_infinite():
    assert through_a_graph(np.array([0.1]), "float32")[0] == np.float32(0.1)
    assert through_a_graph(np.array([1e-60]), "float32")[0] == 0
    largest = float(np.finfo(np.float32).max)
    assert through_a_graph(np.array([largest, -largest]), "float32").tolist() == [largest, -largest]
    assert through_a_graph(np.array([3.4028235e38]), "float32")[0] == np.finfo(np.float32).max
    for value in (1e39, -1e39):
        with pytest.raises(ValueError, match=r"Row 1: the value .*1e.39 cannot be float32"):
            through_a_graph(np.array([0, value]), "float32")


@pytest.mark.parametrize("given", ["int32", "uint64", "float32", "float64"])
def test_overflow_of_float16(given):
    assert through_a_graph(np.array([65504], given), "float16")[0] == 65504
    with pytest.raises(ValueError, match=r"Row 1: the value 70000(\.0)? cannot be float16"):
        through_a_graph(np.array([1, 70000], given), "float16")


def test_integers_become_floats():
    big = 2**62 + 1
    assert through_a_graph(np.array([big]), "float32")[0] == np.float32(big)
    assert through_a_graph(np.array([big]), "float64")[0] == np.float64(big)


def test_numbers_are_not_strings_nor_strings_numbers():
    with pytest.raises(ValueError, match=r"Row 0: .* takes strings, but got 1"):
        OnnxScorer(same(str)).transform(np.array([[1, 2]]))
    with pytest.raises(ValueError, match=r"could not convert|dtype"):
        OnnxScorer(same()).transform(np.array([["a", "b"]]))


def test_the_row_is_that_of_X_not_of_the_batch():
    X = np.ones((10, 2))
    X[7, 1] = 0.5
    with pytest.raises(ValueError, match=r"Row 7: the value 0\.5"):
        OnnxScorer(same(np.int32), batch_size=3).transform(X)
    cells = [np.ones(1 + i % 2) for i in range(10)]
    cells[8][0] = 0.5
    with pytest.raises(ValueError, match=r"Row 8: the value 0\.5"):
        OnnxScorer(same(np.int32), batch_size=2).transform(cells)


def test_strided_rows():
    X = np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::3]
    assert_array_equal(OnnxScorer(same()).transform(X), X)
