import copy
import gc
import os
import pickle
import struct
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import joblib
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.images import ImageReadError
from tests.images.image_files import encode, gradient, load, png

PIXELS = gradient(12, 8)
RGB = Image.fromarray(PIXELS)


def lazy(cell, **params):
    return ImageLoader(**params).transform([cell])[0, 0]


# --- formats and modes

LOSSLESS = {
    "BMP": {},
    "DDS": {},
    "DIB": {},
    "ICO": {"sizes": [(12, 8)]},
    "JPEG2000": {},
    "PCX": {},
    "PNG": {},
    "PPM": {},
    "QOI": {},
    "SGI": {},
    "TGA": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
}


@pytest.mark.parametrize("format", LOSSLESS)
def test_lossless_format(format):
    np.testing.assert_array_equal(load(encode(RGB, format, **LOSSLESS[format])), PIXELS)


@pytest.mark.parametrize("format", ["AVIF", "JPEG", "MPO", "WEBP"])
def test_lossy_format(format):
    assert abs(load(encode(RGB, format, quality=90)).astype(int) - PIXELS).mean() < 4


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_compression(compression):
    np.testing.assert_array_equal(load(encode(RGB, "TIFF", compression=compression)), PIXELS)


@pytest.mark.parametrize("format", ["GIF", "PNG", "BMP", "TIFF"])
def test_palette(format):
    image = RGB.quantize(16)
    np.testing.assert_array_equal(load(encode(image, format)), np.asarray(image.convert("RGB")))


def test_the_name_of_a_file_says_nothing_of_its_format(tmp_path):
    file = tmp_path / "a.gif"
    file.write_bytes(encode(RGB, "PNG"))
    np.testing.assert_array_equal(load(file), PIXELS)


def test_cmyk_jpeg():
    data = encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95)
    red = load(data)[4, 4].astype(int)
    assert abs(red - [255, 0, 0]).max() < 4


LEVELS = np.array([[0, 255, 256, 0x1234, 0xFFFF]], np.uint16)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_keeps_the_high_byte(format):
    data = encode(LEVELS, format)
    np.testing.assert_array_equal(load(data, colors="L"), [[0, 0, 1, 0x12, 0xFF]])
    np.testing.assert_array_equal(load(data)[..., 2], [[0, 0, 1, 0x12, 0xFF]])


def test_16_bit_grey_png_with_a_transparent_level():
    rows = b"\0" + struct.pack(">3H", 0x1234, 0x1235, 0xFFFF)
    data = png(3, 1, depth=16, color_type=0, rows=rows, transparency=struct.pack(">H", 0x1234))
    np.testing.assert_array_equal(load(data, colors="L"), [[0, 0x12, 255]])
    np.testing.assert_array_equal(load(data, colors="RGBA")[..., 3], [[0, 255, 255]])


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I"])
def test_16_bit_pil_image(mode):
    assert load(Image.new(mode, (1, 1), 0x1234), colors="L").tolist() == [[0x12]]


@pytest.mark.parametrize("level", [-1, 65536])
def test_32_bit_grey_has_no_meaning(level):
    with pytest.raises(ImageReadError, match=f"levels from {level} to {level} have no standard"):
        load(Image.new("I", (1, 1), level))


def test_floating_point_pixels_have_no_range():
    with pytest.raises(ImageReadError, match="floating-point pixels have no standard range"):
        load(encode(np.ones((2, 2), np.float32), "TIFF"))


def test_lab_tiff():
    data = encode(Image.new("LAB", (1, 1), (136, 208, 195)), "TIFF")  # sRGB red
    assert abs(load(data)[0, 0].astype(int) - [255, 0, 0]).max() < 12


def test_one_bit():
    data = encode(Image.fromarray(np.array([[True, False]])), "PNG")
    assert load(data).tolist() == [[[255] * 3, [0] * 3]]


COLOR = (200, 100, 40, 128)
ON_BLACK = [100, 50, 20]  # 128 / 255 of it


@pytest.mark.parametrize("mode", ["RGBA", "RGBa"])
def test_alpha_is_composited_on_black_or_kept(mode):
    image = Image.new("RGBA", (2, 1), COLOR).convert(mode)
    assert abs(load(image)[0, 0].astype(int) - ON_BLACK).max() <= 1
    assert abs(load(image, colors="RGBA")[0, 0].astype(int) - COLOR).max() <= 1
    assert abs(int(load(image, colors="L")[0, 0]) - 61) <= 1  # .299, .587, .114 of ON_BLACK


@pytest.mark.parametrize("mode", ["LA", "La"])
def test_grey_with_alpha(mode):
    image = Image.new("LA", (1, 1), (200, 128)).convert(mode)
    assert load(image)[0, 0].tolist() == [100] * 3
    assert abs(load(image, colors="RGBA")[0, 0].astype(int) - [200, 200, 200, 128]).max() <= 1


@pytest.mark.parametrize("alpha", [bytes([128]), 0], ids=["levels", "index"])
def test_palette_with_transparency(alpha):
    image = Image.new("P", (1, 1), 0)
    image.putpalette(COLOR[:3])
    data = encode(image, "PNG", transparency=alpha)
    assert load(data)[0, 0].tolist() == (ON_BLACK if alpha else [0, 0, 0])
    assert load(data, colors="RGBA")[0, 0].tolist() == [*COLOR[:3], 128 if alpha else 0]


def test_transparent_color():
    data = encode(np.array([[[9, 9, 9], [9, 9, 8]]], np.uint8), "PNG", transparency=(9, 9, 9))
    assert load(data).tolist() == [[[0, 0, 0], [9, 9, 8]]]
    assert load(data, colors="RGBA")[0, :, 3].tolist() == [0, 255]


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(format):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue", "lime")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert Image.open(BytesIO(data)).n_frames == 3
    assert load(data)[0, 0].tolist() == [255, 0, 0]


# --- EXIF


def with_orientation(orientation, format="PNG", image=RGB, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image, format, exif=exif, **options)


# ExifTags' definition: where row 0 and column 0 of the file belong in the image
UPRIGHT = {
    1: PIXELS,
    2: PIXELS[:, ::-1],
    3: PIXELS[::-1, ::-1],
    4: PIXELS[::-1],
    5: PIXELS.swapaxes(0, 1),
    6: np.rot90(PIXELS, -1),
    7: np.rot90(PIXELS.swapaxes(0, 1), 2),
    8: np.rot90(PIXELS),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("opened", [False, True], ids=["bytes", "PIL"])
def test_orientation(orientation, format, opened):
    options = {"lossless": True} if format == "WEBP" else {}
    data = with_orientation(orientation, format, **options)
    image = lazy(Image.open(BytesIO(data)) if opened else data)
    for _ in range(2):  # Pillow turns a TIFF when it is loaded
        assert image.size == UPRIGHT[orientation].shape[1::-1]
        np.testing.assert_array_equal(np.asarray(image), UPRIGHT[orientation])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_orientation_is_ignored_if_the_user_asks(orientation, format):
    image = lazy(with_orientation(orientation, format), exif_transpose=False)
    assert image.size == (12, 8)
    np.testing.assert_array_equal(np.asarray(image), PIXELS)


@pytest.mark.parametrize("orientation", [0, 9, 200])
def test_orientation_that_means_nothing(orientation):
    image = lazy(with_orientation(orientation))
    assert image.size == (12, 8)
    np.testing.assert_array_equal(np.asarray(image), PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_jpeg_at_reduced_scale(orientation):
    large = Image.fromarray(gradient(803, 601))
    data = with_orientation(orientation, "JPEG", large, quality=95)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    resizer = ImageResizer(40, 30, resize_mode="fill")
    pixels, expected = (
        np.asarray(image).astype(int)
        for image in resizer.transform(ImageLoader().transform([data, upright]))[:, 0]
    )
    assert abs(pixels - expected).max() <= 2


DAMAGED_EXIF = {
    "header": lambda data, at: data[: at + 6] + b"XXXXXXXX" + data[at + 14 :],
    "number of tags": lambda data, at: data[: at + 14] + b"\xff\xff" + data[at + 16 :],
    "offset": lambda data, at: data[: at + 10] + b"\0\x10\0\0" + data[at + 14 :],
    "type": lambda data, at: data[: at + 18] + b"\0\2" + data[at + 20 :],
}


@pytest.mark.parametrize("damage", DAMAGED_EXIF)
def test_an_image_of_damaged_exif_is_read(damage):
    data = with_orientation(1, "JPEG", quality=95)
    damaged = DAMAGED_EXIF[damage](data, data.index(b"Exif\0\0"))
    np.testing.assert_array_equal(load(damaged), load(data))
    assert lazy(damaged).size == (12, 8)


def test_damaged_exif_of_a_png():
    image = lazy(encode(RGB, "PNG", exif=b"Exif\0\0garbage"))
    np.testing.assert_array_equal(np.asarray(image), PIXELS)


# --- Pillow's warnings


def test_warning_of_pillow_is_shown_but_never_an_error(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)  # PIXELS are 96
    data = encode(RGB, "PNG")
    np.testing.assert_array_equal(load(data), PIXELS)  # warnings are errors here
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.warns(Image.DecompressionBombWarning, match="96 pixels"):
            np.testing.assert_array_equal(load(data), PIXELS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(ImageReadError, match=r"exceeds .* twice PIL.Image.MAX_IMAGE_PIXELS"):
        load(data)


# --- the object itself


def test_an_image_is_immutable(path):
    image = lazy(path)
    with pytest.raises(AttributeError):
        image.steps = ()
    resized = ImageResizer(2, 2).transform([image])[0, 0]
    assert image.size == (12, 8)
    assert resized.size == (2, 2)


def test_pixels_as_an_array(path, pixels):
    image = lazy(path)
    np.testing.assert_array_equal(np.array(image, dtype=np.float32), pixels.astype(np.float32))
    with pytest.raises(ValueError, match="pixels of a LazyImage need a copy"):
        np.array(image, copy=False)
    own = np.asarray(lazy(pixels))
    own[:] = 0
    assert pixels.any()


def test_size_of_a_png_is_read_from_its_header():
    assert lazy(png(1000, 2000)).size == (1000, 2000)  # there are no pixels


def test_repr(path, pixels):
    resized = ImageResizer(2, 3, resize_mode="pad").transform([lazy(path, colors="L")])[0, 0]
    assert repr(resized) == f"LazyImage('{path}', L, pad 2 x 3)"
    assert repr(lazy(pixels)) == "LazyImage(<array 8 x 12 x 3>, RGB)"
    assert repr(lazy(b"abc")) == "LazyImage(<3 bytes>, RGB)"
    assert repr(lazy(RGB)) == "LazyImage(<PIL image 12 x 8>, RGB)"
    assert "error: the image is missing (None)" in repr(lazy(None, on_error="nan"))


def test_a_notebook_shows_the_image(path, pixels):
    png_of_it = lazy(path)._repr_png_()
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(png_of_it))), pixels)
    assert lazy(None, on_error="nan")._repr_png_() is None
    assert lazy(b"not an image")._repr_png_() is None


def pickled(image):
    return pickle.loads(pickle.dumps(image))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("kind", ["path", "bytes", "array", "PIL"])
def test_copies_have_the_same_pixels(path, pixels, copied, kind):
    source = {"path": path, "bytes": path.read_bytes(), "array": pixels, "PIL": RGB}
    image = ImageResizer(4, 4).transform([lazy(source[kind])])[0, 0]
    again = copied(image)
    assert (again.steps, again.decoding) == (image.steps, image.decoding)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(image))


def test_pickle_of_a_path_is_small(path):
    column = ImageResizer().transform(ImageLoader().transform([path] * 101))
    one, many = len(pickle.dumps(column[:1])), len(pickle.dumps(column))
    assert one < 1000
    assert (many - one) / 100 < 150


def test_hash_follows_the_file(path):
    image = lazy(path)
    hashes = [joblib.hash(image), joblib.hash(lazy(path))]
    os.utime(path, ns=(1, 1))
    hashes.append(joblib.hash(image))
    path.write_bytes(path.read_bytes() + b"more")
    os.utime(path, ns=(1, 1))
    hashes.append(joblib.hash(image))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


# --- Pipeline(memory=...)


def cached(folder, **loader):
    return make_pipeline(
        ImageLoader(**loader),
        ImageResizer(4, 4),
        PixelExtractor(layout="flat"),
        "passthrough",
        memory=joblib.Memory(folder, verbose=0),
    )


def test_memory_is_never_stale(path, tmp_path):
    for level in (10, 200, 30):  # files of one size, whose time alone differs
        path.write_bytes(encode(np.full((8, 12, 3), level, np.uint8), "BMP"))
        os.utime(path, ns=(level, level))
        assert (cached(tmp_path / "cache").fit_transform([path]) == level).all()


def test_memory_notices_a_file_that_was_missing(path, tmp_path, pixels):
    late = tmp_path / "late.png"
    X = [str(path), str(late)]
    with pytest.warns(UserWarning, match=r"1 of 2 images .*late.png' does not exist"):
        out = cached(tmp_path / "cache", on_error="nan").fit_transform(X)
    assert np.isnan(out[1]).all()
    late.write_bytes(path.read_bytes())
    out = cached(tmp_path / "cache", on_error="nan").fit_transform(X)
    np.testing.assert_array_equal(out[1], out[0])


def test_memory_is_used(path, tmp_path, monkeypatch):
    X = [str(path)] * 3
    first = cached(tmp_path / "cache").fit_transform(X)

    def transform(self, X):
        raise AssertionError("the cache was missed")

    for step in (ImageLoader, ImageResizer, PixelExtractor):
        monkeypatch.setattr(step, "transform", transform)
    np.testing.assert_array_equal(cached(tmp_path / "cache").fit_transform(X), first)


# --- threads, leaks, fuzz


@pytest.mark.slow
def test_threads_share_images(tmp_path):
    pixels = gradient(300, 200)
    file = tmp_path / "a.png"
    file.write_bytes(with_orientation(6, image=Image.fromarray(pixels)))
    expected = np.rot90(pixels, -1)
    for _ in range(10):
        shared = Image.open(file)
        images = ImageLoader().transform([shared, file, shared, file.read_bytes()])[:, 0]
        start = threading.Barrier(8)

        def read(image, start=start):
            start.wait()
            return np.asarray(image)

        with ThreadPoolExecutor(8) as pool:
            for result in pool.map(read, [*images, *images]):
                np.testing.assert_array_equal(result, expected)
        shared.close()


@pytest.mark.slow
def test_nothing_leaks(path, tmp_path):
    cells = [path, path.read_bytes(), RGB, PIXELS]
    data = path.read_bytes()
    for i, bad in enumerate([data[:60], b"", b"text", png(50_000, 50_000), png(9, 9)]):
        file = tmp_path / f"{i}.png"
        file.write_bytes(bad)
        cells.append(file)
    pages = tmp_path / "pages.tif"
    RGB.save(pages, save_all=True, append_images=[RGB])
    cells.append(pages)
    steps = make_pipeline(ImageLoader(on_error="nan"), ImageResizer(4, 4), PixelExtractor())
    process = psutil.Process()

    def used(n_calls):
        for _ in range(n_calls):
            with pytest.warns(UserWarning, match="5 of 10 images could not be read"):
                np.asarray(steps.transform(cells))
        gc.collect()
        return process.num_fds(), process.num_threads()

    once = used(1)
    # other runtimes in this process have threads that come and go; a leak would be one per call
    assert max(np.subtract(used(40), once)) < 5


SEEDS = [
    encode(RGB, "PNG"),
    encode(RGB.quantize(8), "PNG", transparency=b"\x80\xff"),
    with_orientation(6, "JPEG"),
    encode(RGB.convert("CMYK"), "JPEG"),
    encode(RGB, "GIF"),
    encode(RGB, "TIFF", compression="tiff_lzw"),
    encode(RGB, "WEBP"),
    encode(RGB, "BMP"),
    encode(RGB, "ICO", sizes=[(12, 8)]),
    encode(RGB, "TGA"),
    encode(LEVELS, "PPM"),
]


@st.composite
def damaged_files(draw):
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    start = draw(st.sampled_from([0, 0, 0, 1, 5]))
    return bytes(data[start : draw(st.integers(start, len(data)))])


@pytest.mark.slow
@pytest.mark.parametrize("filters", ["error", "ignore"])
@settings(max_examples=300)
@given(data=damaged_files() | st.binary(max_size=200))
def test_any_bytes_decode_or_raise_image_read_error(filters, data):
    column = ImageLoader(max_pixels=1_000_000).transform([data])
    resized = ImageResizer(5, 4).transform(column)[0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter(filters)
        for image in (column[0, 0], resized):
            try:
                pixels = np.asarray(image)
                size = image.size
            except ImageReadError:
                continue
            assert pixels.dtype == np.uint8
            assert pixels.shape == (size[1], size[0], 3)


def test_postscript_is_not_run():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n"
    with pytest.raises(ImageReadError, match="PostScript"):
        np.asarray(ImageLoader().transform([eps])[0, 0])
