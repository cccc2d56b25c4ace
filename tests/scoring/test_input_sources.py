"""The parts between X and a graph that all scorers share, tested one by one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from sklearn_dl import ImageLoader, PixelExtractor
from sklearn_dl.runtimes._collector import Collector, column_names, static_names
from sklearn_dl.runtimes._scoring_loop import TensorSpec, _groups, score
from sklearn_dl.scoring._binding import select_columns
from sklearn_dl.scoring._input_casts import cast, fit_rank
from sklearn_dl.scoring._input_sources import ArraySource, PixelSource, RaggedSource

F32 = np.dtype(np.float32)
NUMBERS = hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.floating_dtypes(sizes=(16, 32, 64))


def spec(*shape, dtype=F32):
    return TensorSpec("x", shape or None, dtype)


def test_tensor_spec():
    assert spec("N", 3, None).batch is None
    assert spec(2, 3, None).batch == 2
    assert spec("N", 3, "H").row_shape == (3, None)
    assert spec("N", 3, 4).width == 12
    assert spec("N").width == 1
    assert spec("N", "F").width is None
    assert spec().row_shape is None
    assert spec().width is None
    assert str(spec("N", None, 3)) == "'x': shape ('N', '?', 3), float32"
    assert str(spec(dtype=np.dtype(object))) == "'x': shape unknown, str"


@pytest.mark.parametrize(
    ("values", "declared", "fitted"),
    [
        ((4, 6), ("N", 2, 3), (4, 2, 3)),
        ((4, 6), ("N", 6), (4, 6)),
        ((4, 6), ("N", "F"), (4, 6)),
        ((4, 1), ("N",), (4,)),
        ((4, 2, 3), ("N", 2, "L"), (4, 2, 3)),
        ((4, 6), (), (4, 6)),
        ((4, 5), ("N", 2, 3), None),
        ((4, 6), ("N", 2, "L"), None),
        ((4, 2), ("N",), None),
        ((4, 2, 3), ("N", 6), None),
    ],
    ids=[
        "flat rows to two axes",
        "as declared",
        "any width",
        "one column to rank 1",
        "any length",
        "unknown rank",
        "flat rows of another size",
        "flat rows of an unknown size",
        "two columns for rank 1",
        "3-D for 2-D",
    ],
)
def test_fit_rank(values, declared, fitted):
    if fitted is None:
        with pytest.raises(ValueError, match=r"The graph expects 'x': .* X has rows of shape"):
            fit_rank(np.zeros(values), spec(*declared))
    else:
        assert fit_rank(np.zeros(values), spec(*declared)).shape == fitted


@pytest.mark.slow
@settings(max_examples=300)
@given(st.data(), NUMBERS, NUMBERS)
def test_cast_keeps_the_value_or_raises(data, given_type, wanted):
    value = data.draw(hnp.from_dtype(given_type, allow_nan=False))
    exact = value.item()
    try:
        out = cast(np.array([value]), spec("N", dtype=wanted), [0])[0].item()
    except ValueError:
        if wanted.kind == "b":
            assert exact not in (0, 1)
        elif wanted.kind in "iu":
            info = np.iinfo(wanted)
            assert not (info.min <= exact <= info.max and exact == int(exact))
        else:
            assert abs(exact) > float(np.finfo(wanted).max)
    else:
        if wanted.kind == "f":
            assert out == wanted.type(exact) or np.isinf(exact)
        else:
            assert out == exact


def test_rows_are_grouped_by_shape():
    cells = [np.zeros(length) for length in (2, 1, 2, 3, 1)]
    ragged = RaggedSource(cells, spec("N", "L"))
    assert _groups({"x": ragged}, range(5)) == [[0, 2], [1, 4], [3]]
    assert _groups({"x": ragged}, [4, 2, 1]) == [[0, 2], [1]]
    assert _groups({"x": ArraySource(np.zeros((5, 1)), spec("N", 1))}, range(5)) == [range(5)]


class Doubling:
    """A graph in Python."""

    inputs = (spec("N", 2),)
    optional_inputs = ()
    unused_inputs = frozenset()
    outputs = (TensorSpec("y", ("N", 2), F32),)

    def run(self, feeds):
        return [2 * feeds["x"]]


@pytest.mark.parametrize(
    "rows", [range(7), [5, 0, 3], [6], range(2, 5)], ids=["all", "a list", "one", "a range"]
)
def test_score_some_rows(rows):
    X = np.arange(14.0).reshape(7, 2)
    done = []
    graph = Doubling()
    collector = score(graph, {"x": ArraySource(X, graph.inputs[0])}, rows, 2, done=done.append)
    assert_array_equal(collector.table(), 2 * X[list(rows)])
    assert sum(done) == len(rows)


def images_with_numbers(cells, numbers):
    pixels = PixelExtractor().transform(ImageLoader(on_error="nan").transform(cells))
    return replace(pixels, numbers=np.array(numbers))


class Averaging(Doubling):
    """A graph that fails for white images."""

    inputs = (spec("N", 3, 2, 2),)

    def run(self, feeds):
        if (feeds["x"] == 255).any():
            raise RuntimeError("too bright")
        return [feeds["x"].mean(axis=(2, 3))[:, :2]]


@pytest.mark.parametrize("n_workers", [1, 2])
def test_rows_of_pixels_by_their_numbers(n_workers):
    images = [np.full((2, 2, 3), level, np.uint8) for level in range(5)]
    numbers = [9, 4, 30, 2, 7]
    pixels = images_with_numbers([*images[:2], b"text", *images[3:]], numbers)
    graph = Averaging()
    source = PixelSource(pixels, graph.inputs[0], numbers=numbers)
    collector = score(graph, {"x": source}, [7, 30, 9, 2], 2, n_workers)
    assert_array_equal(collector.table()[:, 0], [4, np.nan, 0, 3])
    assert {place: error.row for place, error in collector.errors.items()} == {1: 30}
    white = images_with_numbers([*images[:4], np.full((2, 2, 3), 255, np.uint8)], numbers)
    source = PixelSource(white, graph.inputs[0], numbers=numbers)
    with pytest.raises(
        ValueError, match="failed on a batch of 2 rows between row 2 and row 7: too bright"
    ):
        score(graph, {"x": source}, numbers, 3, n_workers)


def test_a_scorer_counts_numbered_pixels_from_0():
    image = np.full((2, 2, 3), 5, np.uint8)
    pixels = images_with_numbers([image, b"text", image], [9, 4, 30])
    collector = score(Averaging(), {"x": PixelSource(pixels, spec("N", 3, 2, 2))}, range(3), 2)
    assert_array_equal(collector.table()[:, 0], [5, np.nan, 5])
    assert str(collector.errors[1]).startswith("Row 4: cannot read <4 bytes>")


def test_collector_masks_failed_rows():
    collector = Collector(3, [TensorSpec("y", ("N", 2), np.dtype(np.int8))])
    collector.add([0, 2], [np.array([[1, 2], [3, 4]], np.int8)], 2)
    collector.errors[1] = "bad"
    table = collector.table()
    assert table.dtype == np.float64
    assert_array_equal(table, [[1, 2], [np.nan, np.nan], [3, 4]])
    assert collector.names().tolist() == ["y_0", "y_1"]


def test_maps_of_unequal_keys():
    collector = Collector(2, [TensorSpec("y", None, F32)])
    with pytest.raises(ValueError, match="'y' has maps with different keys"):
        collector.add(range(2), [[{"a": 1.0}, {"b": 2.0}]], 2)
    with pytest.raises(ValueError, match="'y' is a sequence that is not a table"):
        collector.add(range(2), [[np.ones(2), np.ones(3)]], 2)


def test_column_names():
    assert column_names("y", 1) == ["y"]
    assert column_names("y", 2) == ["y_0", "y_1"]
    assert column_names("y", 2, [7, "b"]) == ["7", "b"]
    assert static_names([spec("N", 2), TensorSpec("z", ("N",), F32)]).tolist() == [
        "x_0",
        "x_1",
        "z",
    ]
    assert static_names([spec("N", 2), spec("N", None)]) is None


def test_select_columns():
    X = pd.DataFrame({"a": [1, 2], "b": [3.5, 4.5], "c": ["x", "y"]})
    blocks = select_columns(X, {"p": ["b", 0], "q": slice(2, None), "r": -2}, None)
    assert [[column.tolist() for column in block] for block in blocks.values()] == [
        [[3.5, 4.5], [1, 2]],
        [["x", "y"]],
        [[3.5, 4.5]],
    ]
    assert list(blocks) == ["p", "q", "r"]
