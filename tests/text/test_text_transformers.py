"""TextClassifier and TextRegressor as transformers: embeddings of the fitted encoder."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_dl import TextClassifier, TextEncoder, TextRegressor
from tests.text.small_estimators import PAIRS, TARGETS, TEXTS

SMALL = {"max_length": 32, "precision": "float32", "max_epochs": 1, "random_state": 0}
WIDTH = 32


@pytest.fixture(params=[TextClassifier, TextRegressor])
def kind(request):
    return request.param


@pytest.mark.parametrize("layers", [0, "all"])
def test_it_gives_the_embeddings_of_the_fitted_encoder(kind, encoder, layers):
    estimator = kind(encoder, trainable_layers=layers, **SMALL)
    embeddings = estimator.fit_transform(TEXTS, TARGETS.astype(int))
    assert (embeddings.shape, embeddings.dtype) == ((12, WIDTH), np.float32)
    np.testing.assert_array_equal(embeddings, estimator.embed(TEXTS))
    pretrained = TextEncoder(encoder, max_length=32, precision="float32").transform(TEXTS)
    assert np.allclose(embeddings, pretrained, atol=1e-6) == (layers == 0)


@pytest.mark.parametrize("layers", [0, "all"])
def test_names_of_the_columns(kind, encoder, layers):
    frame = pd.DataFrame(PAIRS, columns=["title", "body"], index=np.arange(12)[::-1])
    estimator = kind(encoder, trainable_layers=layers, **SMALL).set_output(transform="pandas")
    out = estimator.fit(frame, TARGETS.astype(int)).transform(frame)
    n_columns = 4 * WIDTH if layers == 0 else WIDTH
    assert list(out.columns) == [f"{kind.__name__.lower()}{i}" for i in range(n_columns)]
    assert out.index.equals(frame.index)
    np.testing.assert_array_equal(out.to_numpy(), estimator.embed(frame))
    assert isinstance(estimator.embed(frame), np.ndarray)


def test_a_step_of_a_column_transformer(kind, encoder):
    frame = pd.DataFrame({"text": TEXTS, "number": TARGETS})
    y = TARGETS.astype(int)
    columns = ColumnTransformer(
        [("tuned", kind(encoder, **SMALL), "text")], remainder="passthrough"
    )
    pipeline = make_pipeline(columns, LogisticRegression()).fit(frame, y)
    assert pipeline.score(frame, y) == 1.0
    assert columns.fit_transform(frame, y).shape == (12, WIDTH + 1)


def test_before_a_fit(kind, encoder):
    with pytest.raises(NotFittedError):
        kind(encoder).transform(TEXTS)
    with pytest.raises(NotFittedError):
        kind(encoder).embed(TEXTS)


def test_rows_that_cannot_be_read(kind, encoder):
    estimator = kind(encoder, trainable_layers=0, on_error="nan", **SMALL)
    estimator.fit(TEXTS, TARGETS.astype(int))
    for X in (["a film", None], [None, None]):
        with pytest.warns(UserWarning, match="of 2 rows could not be read"):
            embeddings = estimator.transform(X)
        assert embeddings.shape == (2, WIDTH)
        assert np.isnan(embeddings[1]).all()
