import numpy as np
import pytest
from PIL import Image

from sklearn_dl import ImageLoader
from sklearn_dl.images._resizer import Resize
from sklearn_dl.vision._augment import RandomView, checked_augment, views

GRADIENT = np.zeros((60, 90, 3), np.uint8)
GRADIENT[..., 0] = np.arange(90)[None] * 2
GRADIENT[..., 1] = np.arange(60)[:, None] * 4
RESIZE = Resize(30, 30, "crop", "center", "bilinear", 0)


def lazy(array=GRADIENT):
    return ImageLoader().transform([array])[0, 0]


def seen(kinds, seed):
    return np.asarray(lazy().with_step(RandomView(30, 30, kinds, seed)))


def test_flips_are_mirrored_resizes():
    plain = np.asarray(lazy().with_step(RESIZE))
    flipped = [seen(("flip",), seed) for seed in range(40)]
    mirrored = [np.array_equal(view, plain[:, ::-1]) for view in flipped]
    assert all(m or np.array_equal(v, plain) for m, v in zip(mirrored, flipped, strict=True))
    assert 8 < sum(mirrored) < 32


def test_crops_keep_at_least_so_much_and_stay_inside():
    for seed in range(50):
        left, top, right, bottom = RandomView(30, 30, ("crop",), seed)._box((90, 60))
        assert 0 <= left < right <= 90
        assert 0 <= top < bottom <= 60
        # of the 60 x 60 that a resize sees, half, less a quarter for the stretch
        assert 0.37 * 3600 <= (right - left) * (bottom - top) <= 3600
    assert len({seen(("crop",), seed).tobytes() for seed in range(10)}) == 10


def test_colours_change_and_places_do_not():
    view = seen(("color",), 3).astype(int)
    plain = np.asarray(lazy().with_step(RESIZE)).astype(int)
    assert not np.array_equal(view, plain)
    assert np.corrcoef(view[..., 0].ravel(), plain[..., 0].ravel())[0, 1] > 0.95


def test_a_seed_determines_the_view():
    kinds = ("flip", "crop", "color")
    np.testing.assert_array_equal(seen(kinds, 5), seen(kinds, 5))
    assert not np.array_equal(seen(kinds, 5), seen(kinds, 6))


def test_jpegs_decoded_at_reduced_scale_give_the_same_view(tmp_path):
    rng = np.random.default_rng(0)
    large = np.kron(
        rng.integers(0, 255, (20, 30, 3), dtype=np.uint8), np.ones((40, 40, 1), np.uint8)
    )
    path = tmp_path / "large.jpg"
    Image.fromarray(large).save(path, quality=95)
    exact = Image.open(path).convert("RGB")
    for seed in range(5):
        view = RandomView(48, 48, ("crop", "flip"), seed)
        reduced = np.asarray(lazy(str(path)).with_step(view)).astype(int)
        assert np.abs(reduced - np.asarray(view.apply(exact))).mean() < 2


def test_a_function_of_the_user_gets_a_generator():
    def darken(image, rng):
        return image.point(lambda level: level * rng.random())

    made = views([lazy(), lazy()], darken, RESIZE, [1, 2])
    first, second = map(np.asarray, made)
    assert first.shape == (30, 30, 3)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.asarray(views([lazy()], darken, RESIZE, [1])[0]), first)


def test_kinds():
    assert checked_augment("standard") == ("flip", "crop", "color")
    assert checked_augment(["flip"]) == ("flip",)
    assert checked_augment(()) is None
    with pytest.raises(ValueError, match="augment="):
        checked_augment(["rotate"])
