import pytest

from sklearn_dl import TextClassifier
from tests.text.tiny_encoders import tiny_bert


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    return str(tiny_bert(tmp_path_factory.mktemp("encoder") / "bert"))


@pytest.fixture(scope="session")
def make_classifier(encoder):
    """A TextClassifier on the tiny encoder, in float32, with a seed."""

    def make(**params):
        defaults = {"max_length": 16, "max_epochs": 2, "learning_rate": 1e-3}
        fixed = {"precision": "float32", "batch_size": 4, "random_state": 0}
        return TextClassifier(encoder, **defaults | fixed | params)

    return make


@pytest.fixture
def one_thread(monkeypatch):
    """One thread in this process: a forked child has no other, and their number changes bits."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
