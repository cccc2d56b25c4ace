"""An X without rows passes through the image steps, lazily and as numbers."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.testing._compare import assert_no_rows_like

IMAGES = list(np.random.default_rng(0).integers(0, 256, (3, 6, 8, 3), dtype=np.uint8))
NO_ROWS = {
    "list": [],
    "array of images": np.empty((0, 6, 8, 3), dtype=np.uint8),
    "Series": pd.Series([], dtype=object),
}


def steps(**params):
    return make_pipeline(ImageLoader(), ImageResizer(4, 5), PixelExtractor(**params))


@pytest.mark.parametrize("kind", NO_ROWS)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "flat"])
def test_after_fit_the_size_is_known(kind, layout):
    fitted = steps(layout=layout).fit(IMAGES)
    found = fitted.transform(NO_ROWS[kind])
    assert_no_rows_like(found, fitted.transform(IMAGES), layout)
    assert np.asarray(found).shape == found.shape
    assert np.asarray(found).dtype == np.float32


def test_before_fit_only_the_channels_are_known():
    pixels = steps().transform([])
    assert pixels.shape == (0, 3, 0, 0)
    assert np.asarray(pixels).shape == (0, 3, 0, 0)
    assert steps(layout="NHWC", colors="L").transform([]).shape == (0, 0, 0, 1)
    with pytest.raises(NotFittedError, match=r"X has no rows, so the size .* Call fit"):
        steps(layout="flat").transform([])


def test_fit_takes_the_size_of_the_first_image_that_it_can_read():
    loader = ImageLoader(on_error="nan")
    extractor = PixelExtractor().fit(loader.transform([b"text", *IMAGES]))
    assert extractor.image_size_ == (8, 6)
    extractor.fit(loader.transform([None]))
    assert not hasattr(extractor, "image_size_")
    assert extractor.transform(loader.transform([])).shape == (0, 3, 0, 0)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "flat"])
def test_no_numbers_are_no_images(layout):
    fitted = steps(layout=layout).fit(IMAGES)
    for no_rows in ([], fitted.transform([])):
        images = fitted[-1].inverse_transform(no_rows)
        assert images.shape == (0, 1)
        assert images.dtype == object
    with pytest.raises(ValueError, match="Expected an array of shape"):
        fitted[-1].inverse_transform(np.empty((0, 2)))


def test_in_a_column_transformer():
    frame = pd.DataFrame({"image": pd.Series(IMAGES), "size": [1.0, 2.0, 3.0]})
    frame.index = list("abc")
    both = ColumnTransformer(
        [("image", steps(layout="flat"), ["image"]), ("size", "passthrough", ["size"])]
    )
    both.set_output(transform="pandas").fit(frame)
    found = both.transform(frame.iloc[:0])
    assert_no_rows_like(found, both.transform(frame), "transform")
    assert found.index.equals(frame.index[:0])
