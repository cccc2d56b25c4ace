"""Pickles of TensorFlowScorer in one process; those of others: test_tensorflow_processes.py."""

import os
import pickle
import shutil

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_dl import TensorFlowScorer
from tests.scoring.tensorflow_models import (
    MODEL_FILES,
    Affine,
    affine,
    keras_model,
    save_model,
    with_vocabulary,
)

X = np.arange(12, dtype=np.float32).reshape(4, 3) - 5


@pytest.mark.parametrize("kind", MODEL_FILES)
def test_a_pickle_carries_the_model(tmp_path, kind):
    scorer = TensorFlowScorer(save_model(kind, tmp_path / "gone"))
    expected = scorer.transform(X)
    data = pickle.dumps(scorer)
    shutil.rmtree(tmp_path / "gone")
    np.testing.assert_array_equal(pickle.loads(data).transform(X), expected)
    np.testing.assert_array_equal(clone(pickle.loads(data)).fit(X).transform(X), expected)


@pytest.mark.parametrize("kind", MODEL_FILES)
def test_without_the_model_the_same_one_must_be_there(tmp_path, kind):
    path = save_model(kind, tmp_path)
    scorer = TensorFlowScorer(path, embed_model=False)
    data = pickle.dumps(scorer)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data).transform(X), scorer.transform(X))
    if kind == "saved_model":
        shutil.rmtree(path)
        affine(path, 7.0)
    else:
        with open(path, "ab") as file:
            file.write(b"\0")
    with pytest.raises(ValueError, match="is not the one that this estimator was pickled with"):
        pickle.loads(data).transform(X)


@pytest.mark.parametrize("embed", [True, False])
def test_a_model_in_memory_always_travels(embed):
    scorer = TensorFlowScorer(keras_model(), embed_model=embed)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(scorer)).transform(X), scorer.transform(X)
    )
    module = TensorFlowScorer(Affine(), signature="score", embed_model=embed)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(module)).transform(X), 2 * X)
    np.testing.assert_array_equal(clone(module).transform(X), 2 * X)


def test_assets_travel(tmp_path):
    vocabulary = tmp_path / "words.csv"
    vocabulary.write_text("cat,7\ndog,8\n")
    data = pickle.dumps(TensorFlowScorer(with_vocabulary(tmp_path / "model", vocabulary)))
    vocabulary.unlink()
    shutil.rmtree(tmp_path / "model")
    assert pickle.loads(data).transform(["dog", "cow"]).tolist() == [[8], [-1]]


def test_equal_folders_give_equal_pickles(tmp_path):
    path = affine(tmp_path / "model")
    first = pickle.dumps(TensorFlowScorer(path))
    for folder, _, files in os.walk(path):
        for name in files:
            os.utime(os.path.join(folder, name), (1e9, 1e9))
    assert pickle.dumps(TensorFlowScorer(path)) == first


def test_a_model_that_changed_is_loaded_again(tmp_path):
    path = tmp_path / "model"
    scorer = TensorFlowScorer(affine(path))
    assert scorer.transform(X)[0, 0] == -10
    shutil.rmtree(path)
    affine(path, 3.0)
    assert scorer.transform(X)[0, 0] == -15
