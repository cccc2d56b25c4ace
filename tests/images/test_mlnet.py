import numpy as np
import pytest
import sklearn.datasets
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from sklearn_dl import ImageLoader, ImageResizer
from sklearn_dl.images._mlnet import rectangle


def resize(pixels, width, height, mode, loader="RGB", anchor="center"):
    resizer = ImageResizer(width, height, resize_mode=mode, resample="mlnet", anchor=anchor)
    return np.asarray(resizer.transform(ImageLoader(colors=loader).transform([pixels]))[0, 0])


@pytest.mark.parametrize(
    ("source", "target", "mode", "expected"),
    [
        ((800, 534), 100, "crop", (-24, 0, 149, 100)),
        ((800, 534), 100, "pad", (0, 16, 100, 66)),
        ((800, 534), 224, "crop", (-55, 0, 335, 224)),
        ((800, 534), 224, "pad", (0, 37, 224, 149)),
        ((800, 288), 224, "crop", (-199, 0, 622, 224)),
        ((800, 288), 224, "pad", (0, 71, 224, 80)),
        ((800, 391), 100, "crop", (-52, 0, 204, 100)),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
def test_rectangle_of_mlnet(source, target, mode, expected):
    assert rectangle(source, (target, target), mode, "center") == expected
    left, top, width, height = expected
    turned = rectangle(source[::-1], (target, target), mode, "center")
    assert turned == (top, left, height, width)


@pytest.mark.parametrize(
    ("anchor", "left"),
    [("left", 0), ("right", -49), ("center", -24), ("top", -24), ("bottom", -24)],
)
def test_rectangle_of_an_anchor(anchor, left):
    assert rectangle((800, 534), (100, 100), "crop", anchor)[0] == left
    assert rectangle((800, 534), (100, 100), "pad", anchor) == (0, 16, 100, 66)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (800, 100, range(3, 800, 8)),
        (4, 2, [0, 2]),
        (3, 3, [0, 1, 2]),
        (3, 2, [0, 2]),
        (2, 4, [0, 0, 1, 1]),
        (10, 4, [1, 3, 6, 8]),
    ],
    ids=lambda value: "" if isinstance(value, range) else str(value).replace(" ", ""),
)
def test_fill_takes_the_nearest_and_of_ties_the_lower(source, target, expected):
    positions = np.stack([np.arange(source) // 256, np.arange(source) % 256], axis=-1)
    row = np.zeros((1, source, 3), np.uint8)
    row[0, :, :2] = positions
    out = resize(row, target, 1, "fill").astype(int)
    assert (out[0, :, 0] * 256 + out[0, :, 1]).tolist() == list(expected)


def test_fill_pattern_of_mlnet():
    # rebuilt after ML.NET's fillmode_test.png (200 x 100): white, red where the points are read
    pixels = np.full((100, 200, 3), 255, np.uint8)
    for row, column in [(15, 24), (31, 24), (24, 15), (24, 31)]:
        pixels[2 * row, 4 * column + 1] = (255, 0, 0)
    out = resize(pixels, 50, 50, "fill")
    for place in [(0, 0), (0, 49), (49, 0), (49, 49), (24, 24)]:
        assert out[place].tolist() == [255, 255, 255]
    for place in [(15, 24), (31, 24), (24, 15), (24, 31)]:
        assert out[place].tolist() == [255, 0, 0]


def mitchell(x):
    x = abs(x)
    if x < 1:
        return (7 * x**3 - 12 * x**2 + 16 / 3) / 6
    if x < 2:
        return (-7 / 3 * x**3 + 12 * x**2 - 20 * x + 32 / 3) / 6
    return 0.0


def weights(n_source, length, start, n_target):
    """Matrix (n_target, n_source): 4 taps about the centre of each target pixel, edges repeated."""
    matrix = np.zeros((n_target, n_source))
    for target in range(n_target):
        center = (target - start + 0.5) * n_source / length - 0.5
        for tap in range(int(np.floor(center)) - 1, int(np.floor(center)) + 3):
            matrix[target, min(max(tap, 0), n_source - 1)] += mitchell(center - tap)
    return matrix


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
@pytest.mark.parametrize("size", [(100, 100), (224, 224), (97, 31), (700, 640)], ids=str)
def test_crop_against_plain_arithmetic(name, size):
    pixels = sklearn.datasets.load_sample_image(name)[:300, :400]
    left, top, width, height = rectangle((400, 300), size, "crop", "center")
    across, down = weights(400, width, left, size[0]), weights(300, height, top, size[1])
    expected = np.einsum("ys,sxc,tx->ytc", down, pixels.astype(float), across, optimize=True)
    difference = resize(pixels, *size, "crop") - expected.clip(0, 255)
    assert abs(difference).max() <= 1
    assert abs(difference).mean() < 0.3  # rounding alone costs a quarter


@pytest.mark.parametrize("side", [41, 47, 83])
@pytest.mark.parametrize("mode", ["crop", "pad"])
def test_no_black_border(side, mode):
    out = resize(np.full((side, side, 3), 255, np.uint8), 32, 32, mode)
    assert (out == 255).all()


sides = st.integers(1, 300)


@given(sides, sides, sides, sides)
@example(41, 41, 32, 32)
@example(123, 41, 96, 32)
def test_no_size_leaves_a_border(width, height, target_width, target_height):
    target = (target_width, target_height)
    left, top, across, down = rectangle((width, height), target, "crop", "center")
    assert left <= 0
    assert top <= 0
    assert left + across >= target_width
    assert top + down >= target_height


def test_same_size_is_untouched():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    for mode in ("crop", "pad", "fill"):
        np.testing.assert_array_equal(resize(pixels, 7, 5, mode, loader="RGBA"), pixels)


def test_image_mode_is_kept():
    for mode in ("L", "RGB", "RGBA"):
        image = Image.new(mode, (10, 6), "white")
        resizer = ImageResizer(4, 4, resample="mlnet")
        out = resizer.transform(ImageLoader(colors=mode).transform([image]))[0, 0].to_pil()
        assert out.mode == mode
        assert np.asarray(out).min() == 255
