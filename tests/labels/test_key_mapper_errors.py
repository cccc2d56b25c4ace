"""LabelKeyMapper: errors and their messages."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError

from sklearn_dl import LabelKeyMapper


@pytest.mark.parametrize(
    ("keys", "X", "message"),
    [
        (["a", "b", "a"], ["a"], r"`keys\[0\]` and `keys\[2\]` are both 'a'"),
        ([1.0, 2.0, 1.0], [1.0], r"`keys\[0\]` and `keys\[2\]` are both 1.0"),
        (["a", None], ["a"], r"`keys\[1\]` is missing or empty \(None\)"),
        (["a", ""], ["a"], r"`keys\[1\]` is missing"),
        ([np.nan, 1.0], [1.0], r"`keys\[0\]` is missing"),
        ([["a"]], ["a"], "`keys` has 1 column: pass one 1-D array"),
        ([], ["a"], r"0 sample\(s\)"),
        (["1", "2"], [1, 2], "column 0 are numbers, but the values in its dictionary are strings"),
        (
            [0, 1],
            [True, False],
            "column 0 are booleans, but the values in its dictionary are numbers",
        ),
    ],
    ids=[
        "strings twice",
        "floats twice",
        "None",
        "empty string",
        "nan",
        "column",
        "no keys",
        "strings for numbers",
        "numbers for booleans",
    ],
)
def test_wrong_keys_are_errors(keys, X, message):
    with pytest.raises(ValueError, match=message):
        LabelKeyMapper(keys=keys).fit(X)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([1, 3], "Row 1 of column 0 has .*3.*, which is not a key: .* from 0 to 2"),
        ([0, 1, -1], "Row 2 of column 0"),
        ([1.0, 1.5], "Row 1 of column 0 has .*1.5"),
        ([1.0, np.nan], "Row 1 of column 0 has .*nan"),
        ([1, None], "Row 1 of column 0 has None"),
        ([1, "a"], "Row 1 of column 0 has 'a'"),
        ([True], "Row 0 of column 0"),
        ([[1, 1]], "X has 2 columns of keys, but LabelKeyMapper was fitted on 1 column"),
    ],
    ids=["3", "-1", "fraction", "nan", "None", "string", "boolean", "two columns"],
)
def test_what_is_not_a_key_cannot_be_inverted(keys, message):
    with pytest.raises(ValueError, match=message):
        LabelKeyMapper().fit(["a", "b"]).inverse_transform(keys)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("abc", "got a single str"),
        ([], "0 sample"),
        (np.empty((0, 2)), "0 sample"),
        (np.empty((2, 0)), "0 feature"),
        (np.zeros((1, 1, 1)), "3 dimensions"),
        (np.array([1j]), "Complex data not supported"),
        (["a", ["b"], {}], "Row 1 of column 0 has a list"),
        ([["a", "b"], ["c"]], "Row 1 has 1 column, but row 0 has 2"),
    ],
    ids=["string", "empty", "no rows", "no columns", "3-D", "complex", "list in a cell", "ragged"],
)
def test_what_is_not_columns_of_labels_is_an_error(X, message):
    with pytest.raises(ValueError, match=message):
        LabelKeyMapper().fit(X)


def test_transform_refuses_what_does_not_match_the_keys():
    mapper = LabelKeyMapper().fit(["a", "b"])
    with pytest.raises(
        ValueError, match="are numbers, but the values in its dictionary are strings"
    ):
        mapper.transform([1, 2])
    with pytest.raises(ValueError, match="Row 1 of column 0 has a list"):
        LabelKeyMapper().fit(["a", 1]).transform(["a", ["b"]])
    assert mapper.transform(np.array([np.nan])).tolist() == [0]
    with pytest.raises(TypeError, match="Sparse data"):
        mapper.transform(sparse.eye_array(2))
    with pytest.raises(NotFittedError):
        LabelKeyMapper(keys=["a"]).transform(["a"])


def test_values_that_cannot_be_sorted_are_an_error():
    with pytest.raises(ValueError, match=r"values of column 0 cannot be sorted.*'occurrence'"):
        LabelKeyMapper(order="value").fit(["a", 1])


def test_a_column_without_values_warns():
    with pytest.warns(UserWarning, match="no values in column 0"):
        mapper = LabelKeyMapper().fit([None, np.nan])
    assert mapper.transform([None, "a"]).tolist() == [0, 0]
    assert mapper.inverse_transform([0]).tolist() == [None]


def test_a_fit_that_fails_leaves_the_mapper_as_it_was():
    mapper = LabelKeyMapper(order="value")
    wrong = pd.DataFrame({"other": pd.Series(["a", 1], dtype=object), "more": ["a", "b"]})
    for fitted in (False, True):
        before = dict(vars(mapper.fit(pd.DataFrame({"name": ["a", "b"]})) if fitted else mapper))
        with pytest.raises(ValueError, match="order"):
            mapper.fit(wrong)
        assert vars(mapper) == before
