"""The graphs that resize give Pillow's levels, bit for bit."""

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sklearn_dl.export.vision import _resize
from sklearn_dl.export.vision._resize import (
    placement,
    resize,
    resize_rule,
    resize_to,
    size_of,
)
from sklearn_dl.images._resizer import CENTERING, Resize
from tests.export.image_graphs import noise, run_function

CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
MODES = ("crop", "pad", "fill", "pad_end")
# (height, width) of images that become 18 x 24: smaller, larger, with sides of 1 pixel, of the same
# size, as wide or as high, very wide, very high (resized vertically first)
SIZES = (
    (5, 7),
    (60, 80),
    (1, 1),
    (1, 90),
    (70, 1),
    (18, 24),
    (18, 61),
    (50, 24),
    (9, 200),
    (300, 13),
    (131, 40),
)


def resizer(step, mode="RGB", fast=False):
    """Run the graph of a step."""
    n_channels = CHANNELS[mode]
    return run_function(
        lambda graph, images: {"out": (resize(graph, images, step, fast, mode), np.uint8, 4)},
        n_channels,
    )


def by_pillow(step, images):
    """The result of the step itself for arrays of shape (N, H, W, C)."""
    images = [image[:, :, 0] if image.shape[2] == 1 else image for image in images]
    made = [np.asarray(step.apply(Image.fromarray(image))) for image in images]
    return np.stack(made).reshape(len(made), step.height, step.width, -1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("resample", FILTERS)
def test_levels_are_those_of_pillow(resample, mode):
    step = Resize(24, 18, mode, "center", resample, (9, 90, 200))
    run = resizer(step)
    for height, width in SIZES:
        images = noise(2, height, width, 3)
        np.testing.assert_array_equal(run(images), by_pillow(step, images), f"{height} x {width}")


@pytest.mark.parametrize("mode", CHANNELS)
def test_a_size_that_the_graph_computes(mode):
    """Two thirds of the image's size, rounded up."""

    def add(graph, images):
        target = (size_of(graph, images) * 2 / 3 + 0.9).floor()
        made = resize_to(graph, images, target, "bilinear", mode=mode)
        return {"out": (made, np.uint8, 4)}

    run = run_function(add, CHANNELS[mode])
    for height, width in SIZES:
        target = [int(np.floor(n * 2 / 3 + 0.9)) for n in (width, height)]
        images = noise(2, height, width, CHANNELS[mode])
        expected = by_pillow(Resize(*target, "fill", "center", "bilinear", 0), images)
        np.testing.assert_array_equal(run(images), expected, f"{height} x {width}")


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.builds(
        Resize,
        st.integers(1, 40),
        st.integers(1, 40),
        st.sampled_from(MODES),
        st.sampled_from(sorted(CENTERING)),
        st.sampled_from(FILTERS),
        st.integers(0, 255),
    ),
    st.sampled_from(sorted(CHANNELS)),
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=6),
)
def test_any_size_anchor_and_mode(step, mode, sizes):
    run = resizer(step, mode)
    for height, width in [*sizes, (step.height, step.width), (step.height, 7), (7, step.width)]:
        images = noise(1, height, width, CHANNELS[mode], seed=height)
        np.testing.assert_array_equal(run(images), by_pillow(step, images), f"{height} x {width}")


@pytest.mark.parametrize("resample", FILTERS)
def test_large_images(resample):
    step = Resize(3, 2, "fill", "center", resample, 0)
    run = resizer(step, "L")
    # with 128 pixels for one, the sum of the highest digits is near the limit of int32
    for height, width in ((2, 5000), (4000, 3), (256, 384), (700, 900)):
        for images in (noise(1, height, width, 1), np.full((1, height, width, 1), 255, np.uint8)):
            np.testing.assert_array_equal(run(images), by_pillow(step, images))


def test_colors_are_weighed_by_their_alpha():
    images = noise(1, 20, 20, 4)
    images[..., 3] = np.arange(20) * 255 // 19
    for size in (20, 9):
        step = Resize(size, 9, "pad", "center", "bicubic", "#11223344")
        np.testing.assert_array_equal(resizer(step, "RGBA")(images), by_pillow(step, images))


def test_no_images():
    run = resizer(Resize(4, 3, "pad", "center", "bilinear", 0))
    assert run(noise(0, 8, 8, 3)).shape == (0, 3, 4, 3)


@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="the rule came with Pillow 13")
def test_the_order_of_the_axes_is_recorded():
    assert resize_rule() == (
        f"as Pillow {PIL.__version__}, vertically first if H > h and H - h > 2 (W - w)"
    )


def test_older_pillow_resizes_across_first(monkeypatch):
    monkeypatch.setattr(_resize, "_TALL_FIRST", False)
    run = resizer(Resize(9, 8, "fill", "center", "bicubic", 0))
    (image,) = images = noise(1, 90, 20, 3)
    across = Image.fromarray(image).resize((9, 90), Image.Resampling.BICUBIC)
    expected = np.asarray(across.resize((9, 8), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(run(images)[0], expected)
    assert resize_rule() == f"as Pillow {PIL.__version__}, across first"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("anchor", ["center", "left", "bottom"])
def test_placement(mode, anchor):
    step = Resize(30, 20, mode, anchor, "bilinear", 0)

    def add(graph, images):
        where = placement(graph, images, step)
        return {n: (v.value, np.float64, 1) for n, v in zip("skp", where, strict=True)}

    run = run_function(add)
    for height, width in SIZES:
        size, kept, placed = run(noise(1, height, width, 3))
        assert (*size,) == (width, height)
        assert ((*kept,), (*placed,)) == step.placement((width, height))


def test_fast_resizing_is_close_on_smooth_images():
    down, across = np.mgrid[:80, :100]
    images = np.stack([down * 2, across * 2, down + across], -1)[None].astype(np.uint8)
    for resample in ("bilinear", "bicubic"):
        for mode in MODES:
            step = Resize(30, 20, mode, "center", resample, 50)
            difference = resizer(step, fast=True)(images) - by_pillow(step, images).astype(int)
            # "crop" keeps whole pixels
            assert np.abs(difference).max() <= 4


def test_fast_resizing_of_a_single_pixel():
    run = resizer(Resize(10, 2, "crop", "center", "bilinear", 0), fast=True)
    np.testing.assert_array_equal(
        run(noise(1, 1, 1, 3)), noise(1, 1, 1, 3).repeat(10, 2).repeat(2, 1)
    )


@pytest.mark.parametrize("resample", ["nearest", "box", "hamming", "lanczos"])
def test_fast_resizing_without_a_counterpart_is_exact(resample):
    step = Resize(20, 20, "crop", "center", resample, 0)
    images = noise(1, 50, 70, 3)
    np.testing.assert_array_equal(resizer(step, fast=True)(images), by_pillow(step, images))
