import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_dl import TextEncoder

X = ["a good film", "the bad book", "fine music", "poor plot xyz"] * 4
Y = ["p", "n", "p", "n"] * 4


@pytest.fixture
def text_encoder(encoder):
    return TextEncoder(encoder, max_length=32, precision="float32")


def test_embeddings_are_float32_and_need_no_fit(text_encoder):
    embeddings = text_encoder.transform(X)
    assert embeddings.shape == (16, 32)
    assert embeddings.dtype == np.float32
    assert_array_equal(text_encoder.fit(X).transform(X), embeddings)
    assert_array_equal(text_encoder.fit_transform(X), embeddings)


def test_names_of_the_embeddings(text_encoder):
    names = [f"textencoder{i}" for i in range(32)]
    assert text_encoder.get_feature_names_out().tolist() == names
    assert text_encoder.fit(X).get_feature_names_out().tolist() == names


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_frames_out(text_encoder, kind):
    frame = kind({"text": X})
    text_encoder.set_output(transform=kind.__module__.split(".")[0])
    made = text_encoder.fit_transform(frame)
    assert isinstance(made, kind)
    assert made.shape == (16, 32)
    assert text_encoder.feature_names_in_.tolist() == ["text"]


def test_a_pipeline_with_a_linear_model(text_encoder):
    pipe = make_pipeline(text_encoder, LogisticRegression())
    assert cross_val_score(pipe, X, Y, cv=4).mean() > 0.8


def test_max_length_cuts(text_encoder):
    long = ["good " * 20, "good " * 5]
    with pytest.warns(UserWarning, match="2 of 2 texts are longer than max_length=5") as caught:
        cut = clone(text_encoder).set_params(max_length=5).transform(long)
    assert caught[0].filename == __file__
    assert_allclose(cut[0], text_encoder.transform(["good good good"])[0], atol=1e-6)
    assert_allclose(cut[0], cut[1], atol=1e-6)


def test_a_pair_is_not_a_column(text_encoder):
    with pytest.raises(ValueError, match="TextEncoder expects one column of texts, got 2 columns"):
        text_encoder.transform([["a", "b"]])


@pytest.mark.real
def test_the_packaged_model_places_words_by_their_meaning():
    embeddings = TextEncoder(precision="float32").transform(
        ["a guitar", "an instrument", "a tomato"]
    )
    assert embeddings.shape == (3, 384)
    assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert embeddings[0] @ embeddings[1] > 0.5 > embeddings[0] @ embeddings[2]


def test_estimators_that_share_an_encoder_have_their_own_precision(encoder):
    text = ["a good film"]
    fine, rough, again = (
        TextEncoder(encoder, max_length=32, precision=precision).transform(text)
        for precision in ("float32", "bfloat16", "float32")
    )
    assert_array_equal(again, fine)
    assert 0 < abs(rough - fine).max() < 0.1
