"""LabelKeyMapper maps an X without rows."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklearn_dl import LabelKeyMapper

NO_ROWS = {
    "list": ([], (0,)),
    "1-D array": (np.empty(0), (0,)),
    "2-D array": (np.empty((0, 1)), (0, 1)),
    "pandas": (pd.DataFrame(columns=["x"]), (0, 1)),
    "polars": (pl.DataFrame({"x": []}), (0, 1)),
    "Series": (pd.Series([], dtype=str), (0,)),
}


@pytest.mark.parametrize("kind", NO_ROWS)
def test_one_column(kind):
    X, shape = NO_ROWS[kind]
    mapper = LabelKeyMapper().fit(pd.DataFrame({"x": ["a", "b"]}))
    keys = mapper.transform(X)
    assert keys.shape == shape
    assert keys.dtype == np.int64
    values = mapper.inverse_transform(keys)
    assert values.shape == shape
    assert values.dtype == object


def test_several_columns():
    mapper = LabelKeyMapper().fit([["a", "x"], ["b", "y"]])
    for X in ([], np.empty((0, 2), dtype=object)):
        assert mapper.transform(X).shape == (0, 2)
        assert mapper.inverse_transform(X).shape == (0, 2)
    with pytest.raises(ValueError, match="expecting 2 features"):
        mapper.transform(np.empty((0, 1)))
    with pytest.raises(ValueError, match="1 column of keys"):
        mapper.inverse_transform(np.empty((0, 1)))
