import shutil

import pytest

from sklearn_dl import TextClassifier
from tests.text.small_estimators import KINDS, rows_of, small_estimator, targets_of
from tests.text.tiny_encoders import tiny_bert


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """The folder of a tiny BERT that no test changes."""
    return str(tiny_bert(tmp_path_factory.mktemp("encoders") / "bert"))


@pytest.fixture(scope="session")
def other_encoder(tmp_path_factory):
    """Like `encoder`, with other weights."""
    return str(tiny_bert(tmp_path_factory.mktemp("encoders") / "other", seed=1))


@pytest.fixture
def folder(encoder, tmp_path):
    """A copy of `encoder` that the test may damage."""
    return shutil.copytree(encoder, tmp_path / "damaged")


@pytest.fixture(scope="session")
def fitted_estimators(encoder):
    """A fitted estimator of each kind, shared by all tests: they only read it."""
    return {
        kind: small_estimator(kind, encoder).fit(rows_of(kind), targets_of(kind)) for kind in KINDS
    }


@pytest.fixture
def clf(encoder):
    """An unfitted classifier that trains the whole encoder, for `three_classes`."""
    return TextClassifier(
        encoder,
        max_epochs=2,
        learning_rate=1e-3,
        max_length=32,
        precision="float32",
        random_state=0,
    )


@pytest.fixture
def frozen(clf):
    """Like `clf`, without training of the encoder."""
    return clf.set_params(trainable_layers=0)
