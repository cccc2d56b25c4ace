import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.images import ImageReadError, _pixel_array
from tests.images.image_files import encode, gradient, png

PIXELS = np.stack([gradient(5, 3, 4), gradient(5, 3, 4)[::-1]])  # 2 x 3 x 5 x 4


def extract(X=PIXELS, mode="RGBA", **params):
    column = ImageLoader(colors=mode).transform(X)
    return np.asarray(PixelExtractor(**params).fit(column).transform(column))


def test_value_is_pixel_minus_offset_times_scale():
    out = extract(offset=127, scale=1 / 128)
    assert out.dtype == np.float32
    assert out.shape == (2, 3, 3, 5)
    expected = (PIXELS[..., :3].astype(float) - 127) / 128
    assert_allclose(out, np.moveaxis(expected, 3, 1), rtol=1e-6)


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_offset_and_scale_per_channel(kind):
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    out = extract(layout="NHWC", offset=kind(255 * mean), scale=kind(1 / (255 * std)))
    assert_allclose(out, (PIXELS[..., :3] / 255 - mean) / std, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("colors", ["RGB", "BGR", "G", "ARGB", "ABGR", "RGBA", "BA"])
def test_colors_in_their_order(colors):
    order = ["RGBA".index(color) for color in colors]
    offset = np.arange(len(colors))
    out = extract(colors=colors, layout="NHWC", offset=offset)
    assert_array_equal(out, PIXELS[..., order].astype(float) - offset)


def test_grey():
    image = Image.fromarray(PIXELS[0, ..., :3])
    out = extract([image], mode="RGB", colors="L")
    assert_array_equal(out[0, 0], np.asarray(image.convert("L")))
    assert extract([Image.new("RGB", (1, 1), (0, 0, 255))], colors="L").item() in (28, 29)
    assert_array_equal(extract([image], mode="L", colors="L"), out)


def test_colors_of_a_grey_image_are_equal():
    grey = gradient(5, 3, 1)
    assert_array_equal(extract([grey], mode="L"), [[grey] * 3])


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_alpha_needs_rgba(mode):
    with pytest.raises(ValueError, match=r'ImageLoader\(colors="RGBA"\)'):
        extract(mode=mode, colors="RGBA")


@pytest.mark.parametrize("without_alpha", [0, 1, 2])
@pytest.mark.parametrize("colors", ["RGBA", "A"])
def test_alpha_needs_rgba_in_every_row(without_alpha, colors):
    modes = ["RGBA"] * 3
    modes[without_alpha] = "RGB"
    column = np.vstack([ImageLoader(colors=mode).transform(PIXELS[:1]) for mode in modes])
    with pytest.raises(
        ValueError, match=r'needs images with alpha: use ImageLoader\(colors="RGBA"\)'
    ):
        PixelExtractor(colors=colors).transform(column)
    # without alpha the modes may be mixed
    assert PixelExtractor(colors="RGB").transform(column).shape == (3, 3, 3, 5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_layouts_and_dtypes(dtype):
    nhwc = extract(layout="NHWC", dtype=dtype)
    assert nhwc.dtype == dtype
    assert_array_equal(nhwc, PIXELS[..., :3])
    nchw = extract(dtype=dtype)
    assert_array_equal(nchw, np.moveaxis(PIXELS[..., :3], 3, 1))
    flat = extract(layout="flat", dtype=dtype)
    assert flat.dtype == dtype
    assert_array_equal(flat, nchw.reshape(2, -1))


def test_float16_is_rounded_from_float32():
    params = {"offset": [123.7, 116.8, 103.9], "scale": 0.017}
    assert_array_equal(extract(dtype="float16", **params), extract(**params).astype(np.float16))


@pytest.mark.parametrize("params", [{"offset": 1}, {"scale": 2}, {"scale": [1, 1, 2]}], ids=str)
def test_uint8_neither_shifts_nor_scales(params):
    with pytest.raises(ValueError, match="dtype='uint8' keeps pixels as they are"):
        extract(dtype="uint8", **params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"colors": ""}, "must be 'L' or any of R, G, B and A"),
        ({"colors": "RGX"}, "colors='RGX' must be"),
        ({"colors": "RGR"}, "each at most once"),
        ({"offset": [1, 2]}, "offset must be one number, or one number per channel"),
        ({"scale": np.ones((3, 1))}, "scale must be one number, or one number per channel"),
        ({"offset": np.nan}, "offset=nan must be finite"),
        ({"scale": np.inf}, "scale=inf must be finite"),
    ],
    ids=lambda value: str(value).replace("\n", "") if isinstance(value, dict) else "",
)
def test_wrong_parameters_are_errors(params, message):
    column = ImageLoader().transform(PIXELS)
    with pytest.raises(ValueError, match=message):
        PixelExtractor(**params).fit(column)
    with pytest.raises(ValueError, match=message):
        PixelExtractor(**params).transform(column)


# --- sizes


def test_sizes_are_read_from_headers():
    headers = [png(700, 500), png(700, 500)]  # there are no pixels
    lazy = PixelExtractor().transform(ImageLoader().transform(headers))
    assert lazy.shape == (2, 3, 500, 700)


@pytest.mark.parametrize("layout", ["NCHW", "flat"])
def test_unequal_sizes_name_two_rows(path, layout):
    column = ImageLoader().transform([path, path, gradient(3, 2)])
    message = r"row 0 \('.*a.png'\) is 12 x 8, row 2 \(<array 2 x 3 x 3>\) is 3 x 2"
    with pytest.raises(ValueError, match=f"{message}. Put an ImageResizer before"):
        PixelExtractor(layout=layout).fit_transform(column)


def test_header_that_lies(path):
    lazy = PixelExtractor().transform(ImageLoader().transform([path, path]))
    path.write_bytes(encode(gradient(4, 4), "PNG"))
    message = r"Row 0: its pixels are 4 x 4, but its header says 12 x 8"
    with pytest.raises(ImageReadError, match=message) as caught:
        np.asarray(lazy)
    assert (caught.value.row, caught.value.source) == (0, str(path))


def test_a_row_whose_size_cannot_be_read(path):
    column = ImageLoader().transform([path, path, b"text"])
    with pytest.raises(ImageReadError, match=r"^Row 2: cannot read <4 bytes>") as caught:
        PixelExtractor().transform(column)
    assert (caught.value.row, caught.value.source) == (2, "<4 bytes>")


def test_unreadable_rows_have_no_say_in_the_size(path):
    column = ImageLoader(on_error="nan").transform([None, path, b"text"])
    assert PixelExtractor().transform(column).shape == (3, 3, 8, 12)
    with pytest.raises(
        ValueError, match="No image can be read, so the size of the images is unknown"
    ):
        PixelExtractor().transform(column[[0, 2]])


def test_flat_keeps_the_size_of_fit(path):
    loader = ImageLoader(on_error="nan")
    flat = PixelExtractor(layout="flat").fit(loader.transform([path]))
    assert flat.image_size_ == (12, 8)
    with pytest.raises(ValueError, match="Images are 3 x 2, but those seen in fit were 12 x 8"):
        flat.transform(loader.transform([gradient(3, 2)]))
    with pytest.warns(UserWarning, match="1 of 1 images could not be read"):
        out = flat.transform(loader.transform([None]))
    assert out.shape == (1, 288)
    assert np.isnan(out).all()


# --- names and containers


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_flat_as_a_frame(path, container):
    X = pd.DataFrame({"image": [path] * 2}, index=[9, 4])
    steps = make_pipeline(
        ImageLoader(), ImageResizer(2, 2), PixelExtractor(colors="BR", layout="flat")
    ).set_output(transform=container)
    out = steps.fit_transform(X)
    names = [f"image_{color}_{row}_{col}" for color in "BR" for row in (0, 1) for col in (0, 1)]
    assert list(out.columns) == names
    assert list(steps.get_feature_names_out()) == names
    assert isinstance(out, {"pandas": pd.DataFrame, "polars": pl.DataFrame}[container])
    if container == "pandas":
        assert list(out.index) == [9, 4]
    plain = steps.set_output(transform="default").transform(X)
    assert_array_equal(out.to_numpy(), plain)


def test_flat_names_need_fit():
    column = ImageLoader().transform(PIXELS)
    extractor = PixelExtractor(layout="flat")
    assert extractor.transform(column).shape == (2, 45)
    with pytest.raises(NotFittedError):
        extractor.get_feature_names_out()
    with pytest.raises(NotFittedError):
        extractor.set_output(transform="pandas").transform(column)


def test_lazy_pixels_remember_the_index(path):
    X = pd.DataFrame({"image": [path] * 3}, index=[9, 4, 4])
    steps = make_pipeline(ImageLoader(), PixelExtractor()).set_output(transform="pandas")
    assert list(steps.fit_transform(X).index) == [9, 4, 4]


def test_a_classifier_may_follow():
    levels = np.arange(0, 200, 10, dtype=np.uint8)
    X = np.broadcast_to(levels[:, None, None, None], (20, 4, 4, 3))
    y = levels >= 100
    flat = PixelExtractor(layout="flat", offset=100, scale=0.01)
    model = make_pipeline(ImageLoader(), flat, LogisticRegression()).fit(X, y)
    assert model.score(X, y) == 1


# --- inverse_transform


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "flat"])
@pytest.mark.parametrize("colors", ["RGB", "BGR", "ARGB", "ARBG", "RGBA"])
@pytest.mark.parametrize(
    ("offset", "scale"), [(0, 1), (30, 2 / 19), (127, 1 / 128)], ids=["as is", "odd", "around 0"]
)
def test_inverse_is_exact(layout, colors, offset, scale):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (3, 10, 13, 4), dtype=np.uint8)
    column = ImageLoader(colors="RGBA").transform(X)
    extractor = PixelExtractor(colors=colors, layout=layout, offset=offset, scale=scale)
    out = extractor.inverse_transform(extractor.fit(column).transform(column))
    assert out.shape == (3, 1)
    kept = 4 if "A" in colors else 3
    for image, expected in zip(out[:, 0], X, strict=True):
        assert_array_equal(np.asarray(image), expected[..., :kept])


def test_inverse_of_grey_and_of_missing_colors():
    column = ImageLoader(colors="RGBA").transform(PIXELS[:1])
    grey = PixelExtractor(colors="L")
    image = grey.inverse_transform(grey.transform(column))[0, 0]
    assert image.mode == "L"
    assert_array_equal(np.asarray(image), np.asarray(grey.transform(column))[0, 0])
    red_blue = PixelExtractor(colors="BR")
    image = red_blue.inverse_transform(red_blue.transform(column))[0, 0]
    assert_array_equal(np.asarray(image), PIXELS[0, ..., :3] * [1, 0, 1])


def test_inverse_rounds_and_clips():
    values = np.array([-9.0, 0.4, 0.6, 254.6, 300.0, np.inf]).reshape(1, 1, 1, 6)
    image = PixelExtractor(colors="L").inverse_transform(values)[0, 0]
    assert np.asarray(image).tolist() == [[0, 0, 1, 255, 255, 255]]


@pytest.mark.parametrize(
    ("params", "shape", "expected"),
    [
        ({}, (2, 4, 3, 5), r"\(n_samples, 3, H, W\), got \(2, 4, 3, 5\)"),
        ({}, (3, 3, 5), r"\(n_samples, 3, H, W\)"),
        ({"layout": "NHWC"}, (2, 3, 4, 5), r"\(n_samples, H, W, 3\)"),
        ({"layout": "flat"}, (2, 44), r"\(n_samples, 45\), got \(2, 44\)"),
    ],
    ids=["NCHW", "three axes", "NHWC", "flat"],
)
def test_inverse_of_a_wrong_shape(params, shape, expected):
    extractor = PixelExtractor(**params).fit(ImageLoader().transform(PIXELS))
    with pytest.raises(ValueError, match=f"Expected an array of shape {expected}"):
        extractor.inverse_transform(np.zeros(shape))


def test_inverse_errors():
    values = np.zeros((3, 3, 2, 2))
    values[1, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="Row 1 contains NaN"):
        PixelExtractor().inverse_transform(values)
    with pytest.raises(ValueError, match="scale=0 cannot be inverted"):
        PixelExtractor(scale=0).inverse_transform(np.zeros((1, 3, 2, 2)))
    with pytest.raises(NotFittedError, match="Call fit before inverse_transform"):
        PixelExtractor(layout="flat").inverse_transform(np.zeros((1, 12)))


@pytest.mark.parametrize(("dtype", "scale"), [("float16", 1000), ("float32", 1e38)])
def test_pixels_beyond_the_dtype_are_refused(dtype, scale):
    images = ImageLoader().transform([np.full((1, 1), 255, np.uint8)])
    with pytest.raises(ValueError, match=f"more than {dtype} can hold"):
        PixelExtractor(dtype=dtype, scale=scale).transform(images)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_flat_pixels_are_computed_by_so_many_threads(n_threads, monkeypatch):
    seen, for_each_batch = [], _pixel_array.for_each_batch

    def noted(work, n_rows, size, budget, done):
        seen.append(budget)
        return for_each_batch(work, n_rows, size, budget, done)

    monkeypatch.setattr(_pixel_array, "for_each_batch", noted)
    monkeypatch.setattr("sklearn_dl.utils._threads._cpu_count", lambda *args: 4)
    flat = extract(layout="flat", colors="RGB", n_threads=n_threads)
    assert seen == [n_threads]
    assert_array_equal(flat, extract(layout="flat", colors="RGB"))


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, "2"], ids=repr)
def test_a_wrong_number_of_threads(n_threads):
    with pytest.raises(ValueError, match="n_threads"):
        extract(n_threads=n_threads)
