"""Parameters of the same name and meaning have the same text in every docstring."""

import inspect
import re
from inspect import signature

import pytest

from sklearn_dl import ImageClassifier, SentenceSimilarityRegressor, TextClassifier, TextRegressor

TRAINED = [TextClassifier, TextRegressor, SentenceSimilarityRegressor, ImageClassifier]
# the last of the sentences that are the same; what follows depends on the estimator
LAST_SHARED = {"precision": "and float32 elsewhere.", "trainable_layers": "or none (0)."}


def parameters(estimator):
    """The text of each parameter in a docstring, as one line."""
    section = inspect.getdoc(estimator).split("Parameters\n----------\n")[1]
    section = re.split(r"\n\w[\w ]*\n-{3,}\n", section)[0]
    parts = re.split(r"^(\w[\w, ]*) : .*$", section, flags=re.M)[1:]
    return {
        name: " ".join(text.split())
        for names, text in zip(parts[::2], parts[1::2], strict=True)
        for name in names.split(", ")
    }


TEXTS = {estimator: parameters(estimator) for estimator in TRAINED}
SHARED = sorted(
    {
        name
        for texts in TEXTS.values()
        for name in texts
        if sum(name in t for t in TEXTS.values()) > 1
    }
)


@pytest.mark.parametrize("estimator", TRAINED)
def test_every_parameter_is_described_in_its_order(estimator):
    assert list(TEXTS[estimator]) == list(signature(estimator).parameters)


def test_parameters_are_shared():
    assert {"batch_size", "checkpoint_dir", "random_state", "tol", "warm_start"} <= set(SHARED)


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_parameter_has_one_text_which_may_go_on(name):
    texts = [texts[name] for texts in TEXTS.values() if name in texts]
    if name in LAST_SHARED:
        texts = [text.partition(LAST_SHARED[name])[0] for text in texts]
        assert len(set(texts)) == 1
    shortest = min(texts, key=len)
    assert [text for text in texts if not text.startswith(shortest)] == []
