from pathlib import Path

import numpy as np
import pytest
import skimage
import sklearn.datasets
from PIL import Image, ImageOps, JpegImagePlugin

from sklearn_dl import ImageLoader, ImageResizer
from tests.images.image_files import encode, gradient

FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
MODES = ["crop", "pad", "fill"]


def resize(cell, *args, colors="RGB", **params):
    column = ImageLoader(colors=colors).transform([cell])
    return np.asarray(ImageResizer(*args, **params).transform(column)[0, 0])


# one level for each column (or row), so that a pixel tells where it came from
ACROSS = np.repeat(np.arange(0, 240, 20, dtype=np.uint8)[None], 4, axis=0)  # 12 x 4
DOWN = ACROSS.T


@pytest.mark.parametrize(
    ("anchor", "kept"),
    [
        ("left", [0, 20, 40, 60]),
        ("center", [80, 100, 120, 140]),
        ("right", [160, 180, 200, 220]),
        ("top", [80, 100, 120, 140]),
        ("bottom", [80, 100, 120, 140]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("resample", FILTERS)
def test_crop_keeps_the_anchor(anchor, kept, resample):
    out = resize(ACROSS, 4, 4, anchor=anchor, resample=resample, colors="L")
    np.testing.assert_array_equal(out, [kept] * 4)
    turned = {"left": "top", "right": "bottom", "top": "left", "bottom": "right"}.get(
        anchor, anchor
    )
    out = resize(DOWN, 4, 4, anchor=turned, resample=resample, colors="L")
    np.testing.assert_array_equal(out.T, [kept] * 4)


@pytest.mark.parametrize("seed", range(20))
def test_crop_is_that_of_image_ops(seed):
    rng = np.random.default_rng(seed)
    width, height, *size = rng.integers(1, 60, 4).tolist()
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    for anchor, centering in {"left": (0, 0.5), "center": (0.5, 0.5), "bottom": (0.5, 1)}.items():
        expected = ImageOps.fit(image, size, Image.Resampling.BICUBIC, centering=centering)
        out = resize(image, *size, anchor=anchor, resample="bicubic")
        np.testing.assert_array_equal(out, np.asarray(expected))


@pytest.mark.parametrize("resample", [*FILTERS, "mlnet"])
def test_pad_and_fill(resample):
    white = np.full((4, 12, 3), 255, np.uint8)
    pad = resize(white, 6, 6, resize_mode="pad", resample=resample)
    assert pad[:, 0, 0].tolist() == [0, 0, 255, 255, 0, 0]
    assert (pad == pad[:, :1]).all()
    assert (resize(white, 6, 6, resize_mode="fill", resample=resample) == 255).all()


def test_fill_stretches():
    out = resize(ACROSS, 6, 2, resize_mode="fill", resample="box", colors="L")
    np.testing.assert_array_equal(out, [[10, 50, 90, 130, 170, 210]] * 2)


@pytest.mark.parametrize(
    ("mode", "fill_color", "border"),
    [
        ("L", 7, 7),
        ("L", (9,), 9),
        ("L", "white", 255),
        ("RGB", 7, [7, 7, 7]),
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("RGB", [1, 2, 3], [1, 2, 3]),
        ("RGB", np.array([1, 2, 3]).tolist(), [1, 2, 3]),
        ("RGB", "#ff8000", [255, 128, 0]),
        ("RGBA", 7, [7, 7, 7, 7]),
        ("RGBA", (1, 2, 3, 4), [1, 2, 3, 4]),
        ("RGBA", "red", [255, 0, 0, 255]),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
@pytest.mark.parametrize("resample", ["bilinear", "mlnet"])
def test_fill_color(mode, fill_color, border, resample):
    out = resize(
        gradient(4, 8),
        8,
        8,
        resize_mode="pad",
        fill_color=fill_color,
        resample=resample,
        colors=mode,
    )
    assert out[0, 0].tolist() == border
    assert out[7, 7].tolist() == border


@pytest.mark.parametrize(
    ("mode", "fill_color", "message"),
    [
        ("L", (1, 2, 3), "has 3 levels, but images of mode 'L' have 1 channels"),
        ("RGB", (1, 2, 3, 4), "has 4 levels, but images of mode 'RGB' have 3 channels"),
        ("RGBA", (1, 2, 3), "has 3 levels, but images of mode 'RGBA' have 4 channels"),
        ("RGB", (1, 2, 256), "must contain integers from 0 to 255"),
        ("RGB", (1, 2, 0.5), "must contain integers from 0 to 255"),
        ("RGB", "nocolor", "unknown color"),
    ],
    ids=["3 for L", "4 for RGB", "3 for RGBA", "256", "fraction", "name"],
)
def test_wrong_fill_color_is_an_error_at_once(mode, fill_color, message):
    column = ImageLoader(colors=mode).transform([gradient(4, 4)])
    with pytest.raises(ValueError, match=message):
        ImageResizer(8, 8, fill_color=fill_color).transform(column)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("resample", [*FILTERS, "mlnet"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1)], ids=str)
def test_extreme_shapes(mode, resample, shape):
    out = resize(
        np.full(shape, 200, np.uint8), 5, 3, resize_mode=mode, resample=resample, colors="L"
    )
    expected = np.full((3, 5), 200)
    if mode == "pad":
        expected[:] = 0
        inside = {1: (slice(None), slice(1, 4)), 10_000: (slice(1, 2), slice(None))}[shape[1]]
        expected[(slice(None), slice(2, 3)) if shape[0] > 1 else inside] = 200
    np.testing.assert_array_equal(out, expected)


def test_two_resizers_in_a_row():
    image = Image.fromarray(gradient(50, 40))
    column = ImageLoader().transform([image])
    for size in ((30, 20), (10, 10)):
        column = ImageResizer(*size, resize_mode="fill").transform(column)
    expected = image.resize((30, 20), Image.Resampling.BILINEAR).resize(
        (10, 10), Image.Resampling.BILINEAR
    )
    assert column[0, 0].size == (10, 10)
    np.testing.assert_array_equal(np.asarray(column[0, 0]), np.asarray(expected))


def test_wants_lazy_images():
    with pytest.raises(ValueError, match=r"Row 0: .* got str. Put an ImageLoader before it"):
        ImageResizer().transform(["a.jpg"])


# --- JPEGs at reduced scale

JPEGS = [
    *sorted(Path(sklearn.datasets.__file__).parent.glob("images/*.jpg")),
    *(Path(skimage.__file__).parent / "data" / name for name in ("rocket.jpg", "retina.jpg")),
]


@pytest.fixture
def decoded(monkeypatch):
    """Sizes at which JPEGs were decoded."""
    sizes = []
    load = JpegImagePlugin.JpegImageFile.load_prepare

    def spy(self):
        sizes.append(self.size)
        load(self)

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load_prepare", spy)
    return sizes


@pytest.mark.parametrize("path", JPEGS, ids=lambda path: path.name)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("resample", ["bilinear", "hamming", "bicubic", "lanczos"])
def test_reduced_scale_cannot_be_seen(path, mode, resample, decoded):
    with Image.open(path) as image:
        full = image.convert("RGB")
    decoded.clear()
    for size in ((16, 16), (32, 32), (100, 60)):
        params = {"resize_mode": mode, "resample": resample}
        difference = resize(path, *size, **params) - resize(full, *size, **params).astype(int)
        assert abs(difference).mean() < 1
    assert decoded[0][0] < full.width / 3


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({"resize_mode": "crop"}, (250, 125)),
        ({"resize_mode": "pad"}, (125, 63)),
        ({"resize_mode": "fill"}, (250, 125)),
        ({"resize_mode": "fill", "resample": "hamming"}, (500, 250)),
        ({"resize_mode": "fill", "resample": "box"}, (1000, 500)),
        ({"resize_mode": "fill", "resample": "nearest"}, (1000, 500)),
        ({"resize_mode": "fill", "resample": "mlnet"}, (1000, 500)),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
def test_size_at_which_a_jpeg_is_decoded(params, size, decoded):
    resize(encode(gradient(1000, 500), "JPEG"), 50, 50, **params)
    assert decoded == [size]


def test_no_reduced_scale_for_a_later_or_no_resizer(decoded):
    column = ImageLoader().transform([encode(gradient(1000, 500), "JPEG")])
    np.asarray(column[0, 0])
    large = ImageResizer(900, 450).transform(column)
    np.asarray(ImageResizer(9, 9).transform(large)[0, 0])
    assert decoded == [(1000, 500)] * 2


def test_the_users_own_jpeg_is_not_reduced():
    with Image.open(JPEGS[0]) as image:
        resize(image, 8, 8)
        assert image.size == (640, 427)
