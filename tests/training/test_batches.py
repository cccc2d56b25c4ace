import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sklearn_dl.training._batches import epoch_batches, split_rows

a_length = st.integers(1, 128)
lengths_of_rows = st.lists(a_length, min_size=1, max_size=300).map(np.array)
small = st.integers(0, 5)


@given(lengths_of_rows, st.integers(1, 40), small, small)
def test_each_row_is_in_one_batch_and_one_batch_at_most_is_short(lengths, batch_size, seed, epoch):
    batches = epoch_batches(lengths, batch_size, seed, epoch)
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(len(lengths)))
    sizes = sorted(map(len, batches))
    assert all(size == batch_size for size in sizes[1:])
    assert 1 <= sizes[0] <= batch_size


@given(lengths_of_rows, small, small)
def test_batches_are_a_function_of_seed_and_epoch(lengths, seed, epoch):
    np.random.seed(epoch)  # noqa: NPY002 - the global state must not matter
    first = epoch_batches(lengths, 4, seed, epoch)
    again = epoch_batches(lengths, 4, seed, epoch)
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in again]


@pytest.mark.parametrize("other", [(0, 1), (1, 0)], ids=["epoch", "seed"])
def test_another_seed_or_epoch_makes_other_batches(other):
    lengths = np.random.default_rng(0).integers(1, 100, 4000)
    first, second = (
        {frozenset(batch.tolist()) for batch in epoch_batches(lengths, 8, *numbers)}
        for numbers in ((0, 0), other)
    )
    assert len(first & second) < 5


@pytest.mark.parametrize("other", [(0, 1), (1, 0)], ids=["epoch", "seed"])
def test_few_rows_of_different_lengths_come_in_another_order(other):
    lengths = np.arange(100)
    first, second = (
        [batch[0] for batch in epoch_batches(lengths, 8, *numbers)] for numbers in ((0, 0), other)
    )
    assert first != second


def test_rows_of_one_length_are_drawn_at_random():
    (first, *_) = epoch_batches(np.full(1000, 7), 10, 0, 0)
    assert np.abs(np.diff(first)).mean() > 50


def test_a_batch_holds_rows_of_similar_length():
    lengths = np.random.default_rng(0).integers(1, 1000, 640)
    spreads = [np.ptp(lengths[batch]) for batch in epoch_batches(lengths, 16, 0, 0)]
    # four groups of 160 rows of up to 1000 tokens, 16 side by side: 100 apart on average
    assert np.mean(spreads) < 120


def test_batches_are_not_sorted_by_length():
    lengths = np.random.default_rng(0).integers(1, 1000, 640)
    means = [lengths[batch].mean() for batch in epoch_batches(lengths, 16, 0, 0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


@given(st.lists(st.integers(0, 4), min_size=2, max_size=200), st.floats(0.05, 0.95), small)
def test_a_split_takes_its_share_of_each_stratum_and_leaves_a_row_of_it(strata, fraction, seed):
    strata = np.array(strata)
    spare = (np.bincount(strata, minlength=5) - 1).clip(0)
    assume(spare.any())
    train, held_out = split_rows(len(strata), fraction, seed, strata)
    np.testing.assert_array_equal(np.sort([*train, *held_out]), np.arange(len(strata)))
    wanted = min(max(1, round(fraction * len(strata))), spare.sum())
    assert len(held_out) == wanted
    taken = np.bincount(strata[held_out], minlength=5)
    assert (taken <= spare).all()
    assert (np.abs(taken - spare * wanted / spare.sum()) <= 1).all()


def test_a_split_is_a_function_of_its_seed():
    assert split_rows(50, 0.2, 3)[1].tolist() == split_rows(50, 0.2, 3)[1].tolist()
    assert split_rows(50, 0.2, 3)[1].tolist() != split_rows(50, 0.2, 4)[1].tolist()


@pytest.mark.parametrize(("fraction", "held_out"), [(0.1, 2), (0.01, 1), (5, 5), (np.int64(3), 3)])
def test_a_fraction_is_a_share_or_a_number_of_rows(fraction, held_out):
    train, rows = split_rows(20, fraction, 0)
    assert (len(train), len(rows)) == (20 - held_out, held_out)


@pytest.mark.parametrize(("n_rows", "fraction"), [(1, 0.1), (3, 3), (3, 8), (2, 0.9)])
def test_a_split_that_leaves_nothing_to_train_on_is_refused(n_rows, fraction):
    with pytest.raises(ValueError, match=f"validation_fraction={fraction} of {n_rows} rows"):
        split_rows(n_rows, fraction, 0)


def test_a_split_of_rows_that_are_all_alone_is_refused():
    with pytest.raises(ValueError, match="0 to validate with"):
        split_rows(3, 0.3, 0, np.array([0, 1, 2]))
