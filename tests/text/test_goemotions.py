"""Several labels on real comments, where ../shared/data is: GoEmotions, 28 labels."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from sklearn_dl import TextClassifier

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SKLEARN_DL_SHARED", ROOT.parent / "shared"), "data/text/goemotions")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here"),
]


def comments(name):
    """The first 2,000 comments of a file, and a column for each label."""
    lines = (DATA / name).read_text("utf8").split("\n")[:2000]
    texts, numbers = zip(*(line.split("\t")[:2] for line in lines), strict=True)
    y = np.zeros((2000, 28), dtype=int)
    for row, labels in enumerate(numbers):
        y[row, list(map(int, labels.split(",")))] = 1
    return list(texts), y


def test_micro_f1_of_a_frozen_encoder():
    """The figure of a fine-tuned one is on the benchmarks page: it takes minutes."""
    X, y = comments("dev.tsv")
    clf = TextClassifier(trainable_layers=0).fit(*comments("train.tsv"))
    assert f1_score(y, clf.predict(X), average="micro") >= 0.31
