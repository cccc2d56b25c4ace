"""Exported image steps give the numbers of the estimators."""

import numpy as np
import pytest
from PIL import Image
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.export.vision import _images  # noqa: F401  registers the converters
from tests.export.image_graphs import noise, run_steps

COLORS = ("L", "RGB", "RGBA")
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


def expected(steps, images):
    """The result of the pipeline of the steps, as an array."""
    made = make_pipeline(*steps).fit(images).transform(images)
    if made.dtype != object:
        return np.asarray(made)
    return np.stack([np.asarray(image) for image in made[:, 0]])


def check(steps, images, **options):
    """Compare the exported steps with the pipeline; return the run."""
    wanted = expected(steps, images)
    run = run_steps(steps, images, **options)
    result = run(images)
    assert result.dtype == wanted.dtype
    np.testing.assert_array_equal(result.reshape(wanted.shape), wanted)
    return run


@pytest.mark.parametrize("colors", COLORS)
@pytest.mark.parametrize("mode", COLORS)
def test_loader_converts_colors(mode, colors):
    if mode == "RGBA":  # every level with every alpha
        level, alpha = np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2)
        images = np.stack([level, 255 - level, level // 2, alpha], axis=-1)[None]
    else:
        images = noise(2, 40, 50, CHANNELS[mode])
    check([ImageLoader(colors=colors)], images)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "flat"])
@pytest.mark.parametrize(
    ("loaded", "colors"),
    [
        ("L", "L"),
        ("L", "RGB"),
        ("RGB", "RGB"),
        ("RGB", "BGR"),
        ("RGB", "G"),
        ("RGB", "L"),
        ("RGBA", "L"),
        ("RGBA", "RGB"),
        ("RGBA", "ABGR"),
    ],
)
def test_colors_and_layouts(loaded, colors, layout):
    steps = [
        ImageLoader(colors=loaded),
        ImageResizer(7, 5),
        PixelExtractor(colors=colors, layout=layout),
    ]
    check(steps, noise(3, 20, 30, 4))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("offset", "scale"),
    [
        (0.0, 1 / 255),
        (127.5, 1.0),
        (128, 1 / 127),
        ([123.675, 116.28, 103.53], [1 / 58.395, 1 / 57.12, 1 / 57.375]),
        ([0, 0, 1], 1.0),
    ],
)
def test_offset_and_scale_are_exact(offset, scale, layout, dtype):
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    extractor = PixelExtractor(offset=offset, scale=scale, layout=layout, dtype=dtype)
    check([ImageLoader(), extractor], images)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "flat"])
def test_pixels_as_they_are(layout):
    check([ImageLoader(), PixelExtractor(dtype="uint8", layout=layout)], noise(2, 6, 9, 3))


@pytest.mark.parametrize("opset", [18, 21, 24])
@pytest.mark.parametrize("mode", ["crop", "pad", "fill"])
def test_images_of_any_size(mode, opset):
    steps = [ImageLoader(), ImageResizer(12, 8, resize_mode=mode), PixelExtractor(scale=1 / 255)]
    images = [noise(1, *size, 3) for size in ((40, 30), (9, 100), (100, 9), (1, 1))]
    run = run_steps(steps, images[0], opset=opset)
    for image in images:
        np.testing.assert_array_equal(run(image), expected(steps, image))


@pytest.mark.parametrize("colors", COLORS)
def test_resizers_follow_each_other(colors):
    steps = [
        ImageLoader(colors=colors),
        ImageResizer(30, 40, resize_mode="pad", resample="bicubic", fill_color=200),
        ImageResizer(20, 20, anchor="top", resample="lanczos"),
        PixelExtractor(colors=colors),
    ]
    check(steps, noise(2, 50, 60, 4))


def test_two_resizers_in_one_file_have_sizes_of_their_own():
    steps = [
        ImageLoader(),
        ImageResizer(60, 40, resize_mode="fill"),
        ImageResizer(100, 100, resize_mode="fill"),
        ImageResizer(20, 30, resize_mode="fill"),
    ]
    check(steps, noise(1, 100, 100, 3))


def test_a_pipeline_fitted_on_paths(tmp_path):
    paths = [str(tmp_path / f"{name}.png") for name in "ab"]
    images = noise(2, 30, 20, 3)
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    steps = [ImageLoader(), ImageResizer(8, 8), PixelExtractor(layout="flat")]
    wanted = make_pipeline(*steps).fit(paths).transform(paths)
    np.testing.assert_array_equal(run_steps(steps, images)(images), wanted)


def test_flat_pixels_without_a_resizer_have_the_size_of_fit():
    steps = [ImageLoader(), PixelExtractor(layout="flat")]
    images = noise(2, 5, 4, 3)
    run = check(steps, images)
    with pytest.raises(Exception, match="Reshape"):
        run(noise(2, 10, 4, 3))


def test_what_the_file_says():
    steps = [ImageLoader(), ImageResizer(8, 8), PixelExtractor()]
    model = run_steps(steps, noise(1, 9, 9, 3)).model
    (given,) = model.graph.input
    sizes = [size.dim_param or size.dim_value for size in given.type.tensor_type.shape.dim]
    assert (given.name, sizes) == ("image", ["N", "image__H", "image__W", 3])
    (entry,) = model.metadata_props
    assert entry.key == "resize"
    assert entry.value.startswith("as Pillow")


def test_fast_resizing_is_noted_and_only_used_when_asked_for():
    steps = [ImageLoader(), ImageResizer(8, 8), PixelExtractor()]
    images = noise(1, 30, 30, 3)
    fast, exact = (run_steps(steps, images, resize=how).model for how in ("fast", "exact"))
    assert "Resize" in {node.op_type for node in fast.graph.node}
    assert "Resize" not in {node.op_type for node in exact.graph.node}
    assert [entry.value for entry in fast.metadata_props] == ["fast"]


def test_two_exports_give_the_same_bytes():
    steps = [ImageLoader(), ImageResizer(8, 8, resize_mode="pad"), PixelExtractor()]
    images = noise(1, 9, 9, 4)
    first, second = (run_steps(steps, images).model.SerializeToString() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([ImageLoader(on_error="nan")], r'ImageLoader cannot be exported: on_error="nan"'),
        (
            [ImageLoader(), ImageResizer(resample="mlnet")],
            r'ImageResizer .*"mlnet" .*Set resample=',
        ),
        ([ImageLoader(), PixelExtractor(colors="RGBA")], r"needs images with alpha.*ImageLoader\("),
        ([ImageLoader(), PixelExtractor(layout="flat")], r"size of its images is unknown.*Fit it"),
        ([ImageLoader(colors="L"), ImageLoader()], r"another ImageLoader, with colors='L'"),
        ([ImageLoader(), PixelExtractor(), ImageResizer()], r"one column of images.*uint8 arrays"),
    ],
)
def test_what_cannot_be_exported_is_refused(steps, why):
    with pytest.raises(ValueError, match=why):
        run_steps(steps, noise(1, 5, 5, 3))


def test_paths_are_refused():
    with pytest.raises(ValueError, match="one column of images, and a file cannot read them from"):
        run_steps([ImageLoader()], ["a.png", "b.png"])
