import shutil

import pytest

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
