"""Equal and known inputs of a network are computed once."""

import numpy as np
import pytest

from sklearn_dl.training._once import computed_once
from sklearn_dl.training._rows import Read
from sklearn_dl.utils._messages import RowError

INPUTS = np.array([1.0, 2.0, 2.0, 3.0, 1.0, -1.0, -1.0])


class Store(dict):
    def load(self, keys):
        return {key: self[key] for key in keys if key in self}

    def save(self, values):
        self.update(values)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def compute(calls):
    """Squares; negative inputs cannot be read, and inputs above 1 are cut."""

    def squares(positions):
        calls.append(positions.tolist())
        values = INPUTS[positions, None] ** 2
        errors = {i: RowError("negative", p) for i, p in enumerate(positions) if INPUTS[p] < 0}
        values[list(errors)] = np.nan
        empty = np.empty((len(positions), 0))
        return Read(
            empty if len(errors) == len(positions) else values, errors, INPUTS[positions] > 1
        )

    return squares


def test_equal_inputs_are_computed_once(compute, calls):
    read = computed_once(INPUTS.tolist(), compute)
    np.testing.assert_array_equal(read.values[:, 0], [1, 4, 4, 9, 1, np.nan, np.nan])
    np.testing.assert_array_equal(read.cut, INPUTS > 1)
    # the second that cannot be read is tried, for the error that names its row
    assert calls == [[0, 1, 3, 5], [6]]
    assert {place: error.row for place, error in read.errors.items()} == {5: 5, 6: 6}


def test_what_is_computed_once_is_what_is_computed(compute, calls):
    read = computed_once([None] * 7, compute)
    np.testing.assert_array_equal(read.values[:, 0], [1, 4, 4, 9, 1, np.nan, np.nan])
    assert calls == [list(range(7))]


def test_known_inputs_are_not_computed(compute, calls):
    store = Store()

    def without_cuts(positions):
        return compute(positions)._replace(cut=None)

    first = computed_once(INPUTS.tolist(), without_cuts, store)
    assert sorted(store) == [1, 2, 3]
    calls.clear()
    again = computed_once(INPUTS.tolist(), without_cuts, store)
    np.testing.assert_array_equal(again.values, first.values)
    assert calls == [[5], [6]]
    known = computed_once(INPUTS[:5].tolist(), without_cuts, store)
    np.testing.assert_array_equal(known.values, first.values[:5])
    assert (len(calls), known.errors) == (2, {})


def test_a_store_keeps_which_inputs_were_cut(compute, calls):
    store = Store()
    first = computed_once(INPUTS[:4].tolist(), compute, store, cuts=True)
    assert {key: values.tolist() for key, values in store.items()} == {
        1: [1, 0],
        2: [4, 1],
        3: [9, 1],
    }
    calls.clear()
    known = computed_once(INPUTS[:4].tolist(), compute, store, cuts=True)
    np.testing.assert_array_equal(known.values, first.values)
    np.testing.assert_array_equal(known.cut, INPUTS[:4] > 1)
    assert calls == []
    mixed = computed_once(
        [*INPUTS[:4].tolist(), 5],
        lambda p: Read(np.full((1, 1), 25.0), {}, np.array([True])),
        store,
        cuts=True,
    )
    np.testing.assert_array_equal(mixed.values[:, 0], [1, 4, 4, 9, 25])
    np.testing.assert_array_equal(mixed.cut, [False, True, True, True, True])


def test_an_input_without_a_key_is_not_kept(compute):
    store = Store()
    computed_once([None, 2.0], lambda positions: compute(positions)._replace(cut=None), store)
    assert list(store) == [2.0]


def test_none_can_be_read(compute):
    store = Store()
    read = computed_once([-1.0, -1.0], lambda p: compute(p + 5)._replace(cut=None), store)
    assert (read.values.shape, sorted(read.errors), store) == ((2, 0), [0, 1], {})


def test_an_input_that_can_be_read_the_second_time(calls):
    def compute(positions):
        calls.append(positions.tolist())
        if len(calls) == 1:
            return Read(np.empty((1, 0), np.float32), {0: RowError("gone", 0)})
        return Read(np.float32([[1, 2]] * len(positions)), {})

    read = computed_once(["a", "a", "a"], compute)
    assert calls == [[0], [1, 2]]
    np.testing.assert_array_equal(read.values, [[np.nan, np.nan], [1, 2], [1, 2]])
    assert list(read.errors) == [0]
