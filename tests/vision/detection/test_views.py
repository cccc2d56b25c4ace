"""Canvases and random views of images: the boxes move with the pixels."""

import io

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from sklearn_dl import ObjectDetector
from sklearn_dl.images._loader import load_column
from sklearn_dl.vision.detection._views import (
    KINDS,
    STEP,
    BoxView,
    canvas_of,
    checked_augment,
    moved,
    moved_back,
    stretched,
)

GEOMETRY = ("flip", "crop", "scale")


def lazy(image):
    return load_column([image], ObjectDetector(), reset=True)[0]


def drawn(size, box):
    """A black image with a white box."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    x0, y0, x1, y1 = box.astype(int)
    pixels[y0:y1, x0:x1] = 255
    return pixels


def found_box(pixels):
    """The box of what is white, with fractions of pixels at its edges."""
    light = pixels.astype(float).max(axis=2) / 255
    edges = []
    for axis in (0, 1):
        profile = light.max(axis=axis)
        inside = np.flatnonzero(profile > 0.9)
        edges += [(inside[0] - profile[: inside[0]][-2:].sum())]
        edges += [(inside[-1] + 1 + profile[inside[-1] + 1 :][:2].sum())]
    return np.array([edges[0], edges[2], edges[1], edges[3]])


def visible(box, canvas):
    return box.reshape(2, 2).clip(0, canvas).ravel()


def differences(box, size, view):
    """The edges of a drawn box in the pixels of a view, less those that `move` gives."""
    canvas = (view.width, view.height)
    expected = visible(moved(box[None], view.move(size)[None])[0], canvas)
    if (expected[2:] - expected[:2]).min() < 6:
        return None
    pixels = np.asarray(lazy(drawn(size, box)).with_step(view))
    assert pixels.shape == (*canvas[::-1], 3)
    # what the view shows beside the image is grey
    return found_box(np.where(pixels == 127, 0, pixels)) - expected


@pytest.mark.parametrize("kinds", [GEOMETRY, ("crop",), ("scale",), ("flip",), ()], ids=str)
def test_boxes_move_with_the_pixels(kinds):
    rng, found = np.random.default_rng(0), []
    for seed in range(150):
        size = tuple(rng.integers(40, 600, 2).tolist())
        low = np.array([rng.integers(0, side // 2) for side in size])
        high = low + [rng.integers(side // 4, side // 2) for side in size]
        box = np.concatenate([low, high]).astype(float)
        canvas = [(96, 96), (128, 64), (32, 160)][seed % 3]
        found.append(differences(box, size, BoxView(*canvas, kinds, seed)))
    errors = np.array([error for error in found if error is not None])
    assert len(errors) > 140
    # in pixels of the canvas: a view lies on whole pixels of it
    assert np.abs(errors).max() < 1.5
    assert np.percentile(np.abs(errors).max(axis=1), 95) < 0.55
    np.testing.assert_allclose(errors.mean(axis=0), 0, atol=0.06)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("seed", range(4))
def test_a_jpeg_that_is_decoded_at_a_reduced_scale(orientation, seed, monkeypatch):
    size, box = (1203, 901), np.array([300.0, 200, 850, 700])
    turned = Image.fromarray(drawn(size, box))
    for code, turn in ((3, "ROTATE_180"), (6, "ROTATE_90"), (8, "ROTATE_270")):
        if orientation == code:
            turned = turned.transpose(Image.Transpose[turn])
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    turned.save(file, "JPEG", exif=exif, quality=95)
    image = lazy(file.getvalue())
    assert image.size_as_read() == size
    drafted, draft = [], JpegImagePlugin.JpegImageFile.draft
    monkeypatch.setattr(
        JpegImagePlugin.JpegImageFile,
        "draft",
        lambda self, *args: drafted.append(self.size) or draft(self, *args),
    )
    view = BoxView(96, 64, GEOMETRY, seed)
    pixels = np.asarray(image.with_step(view)).astype(float)
    assert drafted
    whole = np.asarray(lazy(drawn(size, box)).with_step(view)).astype(float)
    assert np.abs(pixels - whole).mean() < 2
    # the box keeps its place: no pixel turns from black to white
    assert np.abs(pixels - whole).max() < 100


def test_a_view_depends_on_its_seed_and_its_kinds_only():
    image = lazy(np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8))

    def seen(kinds, seed):
        return np.asarray(image.with_step(BoxView(64, 32, kinds, seed)))

    np.testing.assert_array_equal(seen(KINDS, 3), seen(KINDS, 3))
    assert len({seen(KINDS, seed).tobytes() for seed in range(10)}) == 10
    # colour is drawn apart from place: the boxes of these two views are equal
    geometry = [BoxView(64, 32, kinds, 5).move((70, 50)) for kinds in (GEOMETRY, KINDS)]
    np.testing.assert_array_equal(*geometry)
    assert not np.array_equal(seen(GEOMETRY, 5), seen(KINDS, 5))
    plain = seen((), 0)
    assert len({seen(("flip",), seed).tobytes() for seed in range(10)}) == 2
    assert np.array_equal(seen(("flip",), 0), plain) or np.array_equal(
        seen(("flip",), 0), plain[:, ::-1]
    )


def test_how_much_a_view_shows():
    size = np.array([300, 200])
    moves = np.array([BoxView(96, 64, GEOMETRY, seed).move(size) for seed in range(2000)])
    shown = [96, 64] / np.abs(moves[:, :2]) / size
    assert shown.min() > 0.5 * 0.85 - 1e-9
    assert shown.max() < 1.4 * 1.15 + 1e-9
    assert 0.45 < (moves[:, 0] < 0).mean() < 0.55
    # a crop lies in the image, and a smaller image lies in the canvas
    whole = moved(np.tile([0.0, 0, 300, 200], (2000, 1)), moves)
    for axis, side in enumerate((96, 64)):
        is_crop = shown[:, axis] < 1
        low, high = whole[:, axis], whole[:, axis + 2]
        assert (low[is_crop] <= 1e-6).all()
        assert (high[is_crop] >= side - 1e-6).all()
        assert (low[~is_crop] >= -1e-6).all()
        assert (high[~is_crop] <= side + 1e-6).all()


@pytest.mark.parametrize(
    ("size", "image_size", "canvas"),
    [
        ((640, 480), 480, (480, 352)),  # 360 is between 352 and 384
        ((480, 640), 480, (352, 480)),
        ((100, 100), 480, (480, 480)),  # small images are enlarged
        ((4000, 10), 480, (480, 32)),
        ((1, 1), 32, (32, 32)),
        ((640, 480), (100, 300), (96, 288)),
        ((640, 480), (1, 1), (32, 32)),
        ((640, 480), 100, (96, 64)),
        ((0, 0), 480, (32, 32)),  # an image that cannot be read
    ],
)
def test_canvases(size, image_size, canvas):
    made = canvas_of(np.array([size]), image_size)
    assert made.tolist() == [list(canvas)]
    assert not (made % STEP).any()


def test_boxes_move_to_the_canvas_and_back():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 900, (20, 2))
    canvases = canvas_of(sizes, 320)
    boxes = np.sort(rng.random((20, 2, 2)), axis=1) * sizes[:, None]
    boxes = boxes.reshape(20, 4)
    moves = stretched(sizes, canvases)
    onto = moved(boxes, moves)
    np.testing.assert_allclose(onto[:, 2:], boxes[:, 2:] / sizes * canvases)
    for box, there, move in zip(boxes, onto, moves, strict=True):
        np.testing.assert_allclose(moved_back(there[None], move)[0], box)
    assert moved(np.empty((0, 4)), moves[0]).shape == (0, 4)


def test_augment():
    assert checked_augment(None) is None
    assert checked_augment(()) is None
    assert checked_augment("standard") == KINDS
    assert checked_augment(["flip"]) == ("flip",)
    for wrong in (("flip", "turn"), "flip", (1,)):
        with pytest.raises(ValueError, match=r"augment=.* must be None, 'standard' or a tuple"):
            checked_augment(wrong)
