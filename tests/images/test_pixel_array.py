import pickle
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices
from numpy.testing import assert_array_equal
from sklearn.model_selection import KFold, train_test_split
from sklearn.utils import _safe_indexing

from sklearn_dl import ImageLoader, PixelExtractor
from sklearn_dl.images import ImageReadError, LazyImage, PixelArray

N = 7
X = np.random.default_rng(0).integers(0, 256, (N, 3, 4, 3), dtype=np.uint8)
EAGER = np.moveaxis(X, 3, 1).astype(np.float32) - 100
INDEX = pd.Index([5, 3, 9, 1, 1, 0, 8], name="row")


def lazy_pixels(cells=X, **params):
    column = ImageLoader(on_error="nan").transform(cells)
    return PixelExtractor(offset=100, **params).transform(column)


def with_index():
    frame = pd.DataFrame({"image": list(X)}, index=INDEX)
    steps = ImageLoader().set_output(transform="pandas")
    return PixelExtractor(offset=100).transform(steps.fit_transform(frame))


LAZY = with_index()

rows = st.integers(-N, N - 1)
row_keys = (
    st.slices(N)
    | st.lists(rows)
    | st.lists(rows).map(tuple)
    | st.lists(rows, min_size=1).map(np.array)
    | st.lists(st.booleans(), min_size=N, max_size=N)
    | st.lists(st.booleans(), min_size=N, max_size=N).map(np.array)
)


@given(row_keys, st.sampled_from(["alone", "tuple", "ellipsis"]))
def test_rows_selected_as_by_numpy(key, how):
    wanted = list(key) if isinstance(key, tuple) else key
    wanted = np.array(wanted, dtype=int) if isinstance(wanted, list) and not wanted else wanted
    if isinstance(key, tuple) or how != "alone":
        selected = LAZY[(key, ...) if how == "ellipsis" else (key,)]
    else:
        selected = LAZY[key]
    assert isinstance(selected, PixelArray)
    assert selected.shape == EAGER[wanted].shape
    assert_array_equal(np.asarray(selected), EAGER[wanted])
    assert selected.index.equals(INDEX[wanted])


@given(basic_indices(EAGER.shape, allow_newaxis=True))
def test_any_basic_key_as_by_numpy(key):
    assert_array_equal(np.asarray(LAZY[key]), EAGER[key])


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        np.int64(2),
        (1, 2),
        (1, ...),
        (..., 0),
        ...,
        None,
        True,
        (slice(None), 0),
        ([0, 1], [1, 2]),
        [[0, 1], [2, 3]],
        pytest.param(EAGER > 0, id="mask of pixels"),
        pytest.param((EAGER > 0)[:, 0, 0, 0], id="mask of rows"),
    ],
    ids=repr,
)
def test_other_keys_give_numbers(key):
    out = LAZY[key]
    assert_array_equal(np.asarray(out), EAGER[key])


@pytest.mark.parametrize("key", [N, -N - 1, [N], [True], 1.5, [1.5], "a"], ids=repr)
def test_wrong_keys(key):
    with pytest.raises(IndexError):
        LAZY[key]


def test_is_as_numpy_sees_it():
    lazy = lazy_pixels()
    assert (len(lazy), lazy.ndim, lazy.shape, lazy.dtype) == (N, 4, EAGER.shape, np.float32)
    assert_array_equal(np.asarray(lazy, dtype=np.float64), EAGER)
    assert_array_equal(np.stack(list(lazy)), EAGER)
    assert np.mean(lazy) == EAGER.mean()
    assert_array_equal(np.concatenate([lazy, lazy]), np.concatenate([EAGER, EAGER]))
    with pytest.raises(ValueError, match="pixels of a PixelArray need a copy"):
        np.array(lazy, copy=False)
    assert repr(lazy) == "PixelArray(shape=(7, 3, 3, 4), dtype=float32, NCHW, lazy)"


def test_pickle_computes_nothing(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(LazyImage, "to_pil", None)
        again = pickle.loads(pickle.dumps(LAZY))
    assert_array_equal(np.asarray(again), EAGER)
    assert again.index.equals(INDEX)


@pytest.mark.parametrize(
    "key",
    [[4, 0], np.array([4, 0]), slice(1, 3), np.arange(N) % 2 == 0],
    ids=["list", "array", "slice", "mask"],
)
def test_safe_indexing(key):
    selected = _safe_indexing(LAZY, key)
    assert isinstance(selected, PixelArray)
    assert_array_equal(np.asarray(selected), EAGER[key])


def test_splits():
    train, test, train_rows, test_rows = train_test_split(LAZY, np.arange(N), random_state=0)
    assert isinstance(train, PixelArray)
    assert_array_equal(np.asarray(train), EAGER[train_rows])
    assert_array_equal(np.asarray(test), EAGER[test_rows])
    for _, rows in KFold(3).split(LAZY):
        assert_array_equal(np.asarray(LAZY[rows]), EAGER[rows])


# --- rows that cannot be read


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_masked_rows_leave_the_others_alone(dtype):
    cells = [X[i % N] for i in range(40)]
    expected = np.asarray(lazy_pixels(cells, dtype=dtype))
    bad = [0, 9, 10, 39]
    for row in bad:
        cells[row] = b"not an image"
    message = r"4 of 40 images could not be read; .* Row 0: cannot read <12 bytes>"
    with pytest.warns(UserWarning, match=message) as caught:
        out = np.asarray(lazy_pixels(cells, dtype=dtype))
    assert len(caught) == 1
    good = np.setdiff1d(np.arange(40), bad)
    assert out[good].tobytes() == expected[good].tobytes()
    assert np.isnan(out[bad]).all()


def test_one_masked_row_is_named_by_its_own_number():
    lazy = lazy_pixels([X[0], X[1], b"text"])
    for row in (2, -1):
        with pytest.warns(UserWarning, match="Row 2: cannot read <4 bytes>"):
            assert np.isnan(lazy[row]).all()


def test_the_errors_of_rows_know_them():
    pixels, errors = lazy_pixels([X[0], b"text", b"no image", X[1]]).read([3, 2, 1])
    assert_array_equal(pixels, EAGER[[1]])
    assert list(errors) == [2, 1]
    assert type(errors[1]) is ImageReadError
    assert (errors[1].row, errors[1].source) == (1, "<4 bytes>")
    assert str(errors[2]).startswith("Row 2: cannot read <8 bytes>: ")


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_numbers_name_the_rows(on_error):
    column = ImageLoader(on_error=on_error).transform([X[0], b"text", X[1], b"no image"])
    lazy = replace(PixelExtractor().transform(column[[0]]), images=column[:, 0])
    lazy = replace(lazy, numbers=np.array([30, 7, 5, 12]))
    selected = lazy[[3, 2, 1]]
    assert selected.numbers.tolist() == [12, 5, 7]
    assert lazy[:2].numbers.tolist() == [30, 7]
    assert lazy[np.array([False, True, False, True])].numbers.tolist() == [7, 12]
    assert pickle.loads(pickle.dumps(selected)).numbers.tolist() == [12, 5, 7]
    if on_error == "raise":
        with pytest.raises(ImageReadError, match=r"^Row 12: cannot read <8 bytes>") as caught:
            np.asarray(selected)
        assert (caught.value.row, caught.value.source) == (12, "<8 bytes>")
        with pytest.raises(ImageReadError, match=r"^Row 7: "):
            lazy[1]
        return
    with pytest.warns(UserWarning, match="2 of 3 images .* Row 12: cannot read <8 bytes>"):
        assert np.isnan(np.asarray(selected)[[0, 2]]).all()
    _, errors = selected.read(range(3))
    assert {place: error.row for place, error in errors.items()} == {0: 12, 2: 7}


def test_uint8_has_no_nan():
    column = ImageLoader(on_error="nan").transform([X[0], b"text"])
    lazy = PixelExtractor(dtype="uint8").transform(column)
    with pytest.raises(ValueError, match=r"^Row 1: .*uint8 pixels cannot be NaN") as caught:
        np.asarray(lazy)
    assert (caught.value.row, caught.value.source) == (1, "<4 bytes>")
    assert_array_equal(lazy[0], np.moveaxis(X[0], 2, 0))


def test_the_lowest_bad_row_is_the_one_named(monkeypatch):
    read = LazyImage.to_pil

    def slow_at_first(image):
        time.sleep(0.05 if isinstance(image.source, bytes) and image.source == b"first" else 0)
        return read(image)

    monkeypatch.setattr(LazyImage, "to_pil", slow_at_first)
    cells = [*X, b"first", *X, b"second", *X]
    column = ImageLoader().transform(cells)
    lazy = replace(PixelExtractor().transform(column[[0]]), images=column[:, 0])
    for _ in range(5):
        with pytest.raises(ImageReadError, match="Row 7: cannot read <5 bytes>"):
            np.asarray(lazy)


def test_threads_do_not_change_the_bits():
    cells = [X[i % N] for i in range(100)]
    results = []
    for threads in (1, 2, 8):
        results.append(lazy_pixels(cells).compute(n_threads=threads).tobytes())
    assert results[0] == results[1] == results[2]
