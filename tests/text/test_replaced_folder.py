"""A folder whose weights are replaced by others of the same size and time is another model."""

from pathlib import Path

import numpy as np
import pytest

from sklearn_dl import TextEncoder
from tests.replaced import WAYS, replace

TEXTS = ["a good film", "the old house"]


@pytest.mark.parametrize("way", WAYS)
def test_weights(folder, other_encoder, way):
    encoder, other = TextEncoder(folder, max_length=16), TextEncoder(other_encoder, max_length=16)
    first, expected = encoder.transform(TEXTS), other.transform(TEXTS)
    weights = Path(other_encoder, "model.safetensors").read_bytes()
    replace(Path(folder, "model.safetensors"), weights, way)
    np.testing.assert_allclose(encoder.transform(TEXTS), expected, atol=1e-6)
    assert np.abs(first - expected).max() > 0.1
