import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.images import ImageReadError
from tests.images.image_files import bmp, encode, gif, gradient, load, png

# --- what a row may be


def test_kinds_of_rows_mix(path, pixels):
    unread = Image.open(path)
    data = path.read_bytes()
    cells = [str(path), path, data, bytearray(data), memoryview(data), unread, unread, pixels]
    column = ImageLoader().transform(cells)
    assert column.shape == (8, 1)
    assert column.dtype == object
    for image in column[:, 0]:
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3), (2, 3, 4)], ids=str)
def test_array_shapes(shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    rgba = load(array, colors="RGBA")
    assert rgba.shape == (2, 3, 4)
    grey_or_colors = np.broadcast_to(array.reshape(2, 3, -1)[..., :3], (2, 3, 3))
    np.testing.assert_array_equal(rgba[..., :3], grey_or_colors)
    alpha = array[..., 3] if shape[-1] == 4 else np.full((2, 3), 255)
    np.testing.assert_array_equal(rgba[..., 3], alpha)


@pytest.mark.parametrize(
    "container",
    [
        pytest.param(list, id="list"),
        pytest.param(tuple, id="tuple"),
        pytest.param(lambda cells: [[cell] for cell in cells], id="list of lists"),
        pytest.param(np.array, id="array of strings"),
        pytest.param(lambda cells: np.array(cells)[:, None], id="column of strings"),
        pytest.param(lambda cells: np.array(cells, dtype=object), id="array of objects"),
        pytest.param(pd.Series, id="pandas series"),
        pytest.param(lambda cells: pd.Series(cells, dtype="category"), id="pandas categories"),
        pytest.param(lambda cells: pd.DataFrame({"image": cells}), id="pandas frame"),
        pytest.param(pl.Series, id="polars series"),
        pytest.param(lambda cells: pl.DataFrame({"image": cells}), id="polars frame"),
    ],
)
def test_containers_are_equal(path, tmp_path, container):
    other = tmp_path / "b.png"
    other.write_bytes(encode(gradient(3, 2), "PNG"))
    X = container([str(path), str(other)])
    loader = ImageLoader().fit(X)
    assert [image.source for image in loader.transform(X)[:, 0]] == [str(path), str(other)]
    assert loader.n_features_in_ == 1


@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (2, 5, 4, 1), (2, 5, 6)], ids=str)
def test_an_array_of_many_images_is_a_column(shape):
    X = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    column = ImageLoader(colors="L" if X.ndim == 3 else "RGB").fit_transform(X)
    assert column.shape == (2, 1)
    expected = X[1] if X.ndim == 3 else np.broadcast_to(X[1], (5, 4, 3))
    np.testing.assert_array_equal(np.asarray(column[1, 0]), expected)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("a.png", "single str: wrap it in a list"),
        (b"\x89PNG", "single bytes"),
        (bytearray(b"\x89PNG"), "single bytearray"),
        (Path("a.png"), "single PosixPath"),
        ({"a": ["a.png"]}, "single dict: pass one column"),
        (Image.new("RGB", (2, 2)), "X is a single image; put it in a list"),
        (np.zeros((4, 4, 3), np.uint8), r"\(4, 4, 3\) looks like one image"),
        ([["a.png", "b.png"]], "one column, got 2"),
        ({"a.png", "b.png"}, "got a set, which has no order"),
    ],
    ids=[
        "str",
        "bytes",
        "bytearray",
        "path",
        "dict",
        "image",
        "array",
        "two columns",
        "set",
    ],
)
def test_what_is_not_a_column_is_an_error(X, message):
    with pytest.raises(ValueError, match=message):
        ImageLoader().transform(X)


def test_names_and_index_of_pandas(path):
    X = pd.DataFrame({"image": [path] * 3}, index=[7, 3, 3])
    loader = ImageLoader().set_output(transform="pandas").fit(X)
    out = loader.transform(X)
    assert list(out.index) == [7, 3, 3]
    assert list(out.columns) == ["image"]
    assert list(loader.feature_names_in_) == ["image"]
    assert list(ImageLoader().get_feature_names_out()) == ["image"]
    with pytest.raises(ValueError, match="feature names should match"):
        loader.transform(X.rename(columns={"image": "other"}))


def test_polars_output_feeds_the_next_step(path, pixels):
    X = pl.DataFrame({"image": [str(path)] * 2})
    steps = make_pipeline(ImageLoader(), ImageResizer(12, 8), PixelExtractor(layout="NHWC"))
    out = steps.set_output(transform="polars").fit(X)[:-1].transform(X)
    assert isinstance(out, pl.DataFrame)
    assert out.columns == ["image"]
    np.testing.assert_array_equal(np.asarray(steps.transform(X)), [pixels, pixels])


# --- root


def test_root_joins_relative_paths(path, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "link.png").symlink_to(path)
    X = ["a.png", "sub/../a.png", "sub/link.png"]
    column = ImageLoader(root=tmp_path).transform(X)
    assert [image.source for image in column[:, 0]] == [str(path)] * 3
    assert ImageLoader(root=str(tmp_path)).transform(["a.png"])[0, 0].source == str(path)


@pytest.mark.parametrize("kind", ["dots", "absolute", "symlink", "sibling"])
def test_root_is_not_left(path, tmp_path, kind):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.png").symlink_to(path)
    (tmp_path / "rootless").mkdir()
    cell = {
        "dots": "../a.png",
        "absolute": str(path),
        "symlink": "link.png",
        "sibling": "../rootless/a.png",
    }[kind]
    with pytest.raises(ValueError, match=r"Row 0: .* leaves the folder root"):
        ImageLoader(root=root).transform([cell])


def test_missing_root(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"root='.*nowhere' does not exist"):
        ImageLoader(root=tmp_path / "nowhere").transform(["a.png"])


# --- bad rows

BAD_ROWS = [
    pytest.param("missing.png", FileNotFoundError, "'.*missing.png' does not exist", id="missing"),
    pytest.param("", ValueError, "the path is empty", id="empty path"),
    pytest.param(
        "http://host/a.png",
        ValueError,
        "'http://host/a.png' is a URL, and nothing is fetched",
        id="URL",
    ),
    pytest.param(
        "a\0.png",
        ValueError,
        r"the path 'a\\x00.png' contains a null character",
        id="null character",
    ),
    pytest.param("x" * 5000, ValueError, "File name too long", id="long name"),
    pytest.param(os.getcwd(), ValueError, "is a folder", id="folder"),
    pytest.param("/dev/zero", ValueError, "'/dev/zero' is not a regular file", id="device"),
    pytest.param(None, ValueError, r"missing \(None\)", id="None"),
    pytest.param(float("nan"), ValueError, r"missing \(nan\)", id="nan"),
    pytest.param(pd.NA, ValueError, r"missing \(<NA>\)", id="NA"),
    pytest.param(3, ValueError, "type int is not an image", id="number"),
    pytest.param(
        np.zeros((2, 2, 3)), ValueError, r"dtype float64 and shape \(2, 2, 3\)", id="float array"
    ),
    pytest.param(
        np.zeros((2, 2, 2), np.uint8), ValueError, r"shape \(2, 2, 2\)", id="two channels"
    ),
    pytest.param(
        np.zeros((0, 2), np.uint8), ValueError, r"without pixels, of shape \(0, 2\)", id="no pixels"
    ),
]


@pytest.mark.parametrize(("cell", "kind", "message"), BAD_ROWS)
def test_bad_row_raises(path, cell, kind, message):
    with pytest.raises(kind, match=f"Row 1: .*{message}"):
        ImageLoader().transform([path, cell])


@pytest.mark.parametrize(("cell", "kind", "message"), BAD_ROWS)
def test_bad_row_is_masked(path, pixels, cell, kind, message):
    column = ImageLoader(on_error="nan").transform([cell, path])
    extractor = PixelExtractor(layout="NHWC")
    with pytest.warns(UserWarning, match=f"1 of 2 images could not be read.*{message}"):
        out = np.asarray(extractor.transform(column))
    assert np.isnan(out[0]).all()
    np.testing.assert_array_equal(out[1], pixels)


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_a_pipe_is_never_waited_for(path, tmp_path, on_error):
    loader = ImageLoader(on_error=on_error)
    fifo = tmp_path / "fifo.png"
    os.mkfifo(fifo)
    with pytest.raises(ValueError, match=r"fifo.png' is not a regular file"):
        np.asarray(loader.transform([fifo])[0, 0])
    image = loader.transform([path])[0, 0]
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ImageReadError, match=r"a.png' is not a regular file"):
        np.asarray(image)


# --- bad content

FORGED = {
    "png": png(50_000, 50_000),
    "bmp": bmp(50_000, 50_000),
    "gif": gif(50_000, 50_000),
}


@pytest.mark.parametrize("format", FORGED)
@pytest.mark.parametrize("max_pixels", [178_956_970, None], ids=["limit", "no limit"])
def test_a_decompression_bomb_is_refused(format, max_pixels, monkeypatch):
    def allocate(*args):
        raise AssertionError("the pixels were allocated")

    monkeypatch.setattr(Image.core, "new", allocate)
    monkeypatch.setattr(Image.core, "fill", allocate)
    with pytest.raises(ImageReadError, match=r"2500000000 pixels.*decompression bomb"):
        load(FORGED[format], max_pixels=max_pixels)


def test_max_pixels(path):
    assert load(path, max_pixels=96).shape == (8, 12, 3)
    image = ImageLoader(max_pixels=95).transform([path])[0, 0]
    for ask in (np.asarray, lambda image: image.size):
        with pytest.raises(ImageReadError, match="12 x 8 pixels are more than max_pixels=95"):
            ask(image)


JPEG = encode(gradient(64, 48), "JPEG")
PNG = encode(gradient(64, 48), "PNG")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"I am not an image", "not an image in a format that Pillow reads"),
        (JPEG[:-40], "[Tt]runcated"),
        (PNG[: len(PNG) // 2], "truncated"),
        (PNG[:20], "Truncated"),
        (png(0, 5), "not an image"),
    ],
    ids=["empty", "text", "half a JPEG", "half a PNG", "PNG signature", "no width"],
)
@pytest.mark.parametrize("as_file", [True, False], ids=["file", "bytes"])
def test_a_damaged_file_is_an_error(data, message, as_file, tmp_path):
    file = tmp_path / "image.jpg"
    file.write_bytes(data)
    image = ImageLoader().transform([file if as_file else data])[0, 0]
    named = "'.*image.jpg'" if as_file else f"<{len(data)} bytes>"
    with pytest.raises(ImageReadError, match=f"cannot read {named}: .*{message}"):
        np.asarray(image)


def test_an_error_names_the_row_and_the_path_of_a_damaged_file(path, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(JPEG[:500])
    column = ImageLoader().transform([path, path, bad])
    pixels = PixelExtractor().transform(ImageResizer(4, 4).transform(column))
    with pytest.raises(ImageReadError, match=r"Row 2: cannot read '.*bad.jpg'") as caught:
        np.asarray(pixels)
    assert (caught.value.row, caught.value.source) == (2, str(bad))
    assert caught.value.__cause__.row is None


def test_lazy_images_are_read_as_this_loader_says():
    lazy = ImageLoader().transform([np.zeros((2, 2, 3), np.uint8)])
    small = ImageResizer(4, 4).transform(lazy)
    again = ImageLoader(colors="L", on_error="nan").transform(small)
    assert again[0, 0].mode == "L"
    assert again[0, 0].steps == small[0, 0].steps
    assert again[0, 0].decoding.on_error == "nan"


@pytest.mark.parametrize(
    ("cell", "kind", "source"),
    [
        ("missing.jpg", FileNotFoundError, "missing.jpg"),
        ("", ImageReadError, ""),
        (3, ImageReadError, None),
        (np.zeros((2, 2)), ImageReadError, None),
    ],
    ids=["missing file", "empty path", "number", "floats"],
)
def test_an_error_of_a_cell_has_its_row_and_source(path, cell, kind, source):
    with pytest.raises(kind, match=r"^Row 1: ") as caught:
        ImageLoader().transform([path, cell])
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert type(error) is kind
        assert (error.row, error.source) == (1, source)
        assert str(error).startswith("Row 1: ")
