import pytest

from sklearn_dl import EntityRecognizer
from tests.text.tiny_encoders import tiny_bert


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """The folder of a tiny BERT that ignores letter case."""
    return str(tiny_bert(tmp_path_factory.mktemp("encoders") / "bert"))


@pytest.fixture
def recognizer(encoder):
    """An unfitted EntityRecognizer that learns the rows of `colors` by heart."""
    return EntityRecognizer(
        encoder,
        max_length=32,
        window_overlap=8,
        max_epochs=8,
        learning_rate=3e-3,
        precision="float32",
        random_state=0,
    )
