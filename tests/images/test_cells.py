"""Rows other than paths, bytes and arrays: structs of tables, tensors, open files."""

import gzip
import pickle
from collections import namedtuple
from io import BufferedReader, BytesIO, RawIOBase, StringIO
from tempfile import NamedTemporaryFile

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklearn_dl import ImageLoader
from sklearn_dl.images import ImageReadError
from sklearn_dl.images._loader import load_column
from tests.images.image_files import encode, gradient, load

PIXELS = gradient(12, 8)
PNG = encode(PIXELS, "PNG")
MODES = {1: 0, 3: 16, 4: 24}  # Spark's OpenCV types, by number of channels


class Row(tuple):
    """As pyspark's Row: a tuple with the names of its fields."""

    def __new__(cls, **fields):
        row = super().__new__(cls, fields.values())
        row.__fields__ = list(fields)
        return row


def named_tuple(**fields):
    return namedtuple("Image", fields)(**fields)


def spark_image(pixels, **changed):
    """The fields of Spark's image struct: its channels are in the order blue, green, red, alpha."""
    height, width, channels = pixels.shape
    order = [2, 1, 0, 3][:channels] if channels > 1 else [0]
    fields = {
        "origin": "file:/images/a.png",
        "height": height,
        "width": width,
        "nChannels": channels,
        "mode": MODES[channels],
        "data": bytearray(pixels[:, :, order].tobytes()),
    }
    return fields | changed


every_kind = pytest.mark.parametrize("kind", [dict, Row, named_tuple])

# --- structs


@every_kind
def test_bytes_and_path_of_hugging_face(kind, path):
    cells = [kind(bytes=PNG, path="a.png"), kind(bytes=None, path=str(path))]
    for image in ImageLoader().fit(cells).transform(cells)[:, 0]:
        np.testing.assert_array_equal(np.asarray(image), PIXELS)


@every_kind
def test_binary_files_of_spark(kind):
    cell = kind(path="file:/a.png", modificationTime=None, length=len(PNG), content=bytearray(PNG))
    np.testing.assert_array_equal(load(cell), PIXELS)


@every_kind
@pytest.mark.parametrize("channels", MODES)
def test_images_of_spark(kind, channels):
    pixels = gradient(5, 3, 4)[:, :, :channels]
    expected = load(pixels, colors="RGBA")
    cells = [kind(**spark_image(pixels))] * 2
    column = ImageLoader(colors="RGBA").fit_transform(cells)
    assert column.shape == (2, 1)
    for image in (column[1, 0], pickle.loads(pickle.dumps(column[1, 0]))):
        np.testing.assert_array_equal(np.asarray(image), expected)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mode": -1}, r"OpenCV type is Undefined \(-1\)"),
        ({"mode": 21}, r"OpenCV type is CV_32FC3 \(21\)"),
        ({"mode": 8}, r"OpenCV type is CV_8UC2 \(8\)"),
        ({"mode": 2}, r"OpenCV type is CV_16UC1 \(2\)"),
        ({"mode": 24}, "of 4 channels"),
        ({"nChannels": 1}, r"\(nChannels is 1\)"),
        ({"height": 4}, "45 bytes are not 4 x 5 pixels"),
        ({"height": -3, "width": -5}, "45 bytes are not -3 x -5 pixels"),
        ({"height": 0, "width": 0, "data": b""}, "0 bytes are not 0 x 0 pixels"),
        ({"data": None}, "0 bytes are not 3 x 5 pixels"),
        ({"data": "x" * 45}, "0 bytes are not 3 x 5 pixels"),
        ({"height": "3"}, "must be integers, got .*'height': '3'"),
        ({"mode": [16]}, r"must be integers, got .*'mode': \[16\]"),
        ({"height": None, "mode": float("nan")}, "must be integers, got .*'height': None"),
    ],
    ids=str,
)
def test_an_image_struct_that_is_not_sound_is_refused(changed, message):
    cells = [spark_image(PIXELS[:3, :5]), spark_image(PIXELS[:3, :5], **changed)]
    with pytest.raises(ImageReadError, match=f"Row 1: .*{message}") as caught:
        ImageLoader().transform(cells)
    assert caught.value.source == "file:/images/a.png"
    masked = ImageLoader(on_error="nan").transform(cells)[1, 0]
    assert "file:/images/a.png" in repr(masked)


@pytest.mark.parametrize(
    "cell",
    [
        {"bytes": None, "path": None},
        {"bytes": None, "path": float("nan")},
        {"bytes": "/etc/hostname", "path": None},
        {"bytes": None},
        {"content": 3},
        {"image": PNG},
        {},
    ],
    ids=str,
)
def test_a_struct_without_an_image_is_refused(cell):
    with pytest.raises(ImageReadError, match="Row 0: a struct with the fields"):
        ImageLoader().transform([cell])


@pytest.mark.parametrize("as_path", [True, False], ids=["path", "bytes"])
def test_the_path_of_a_struct_names_the_image_in_errors(tmp_path, as_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(PNG[:60])
    cell = {"bytes": None if as_path else PNG[:60], "path": str(bad)}
    image = ImageLoader().transform([cell])[0, 0]
    assert repr(image) == f"LazyImage({str(bad)!r}, RGB)"
    with pytest.raises(ImageReadError, match=r"cannot read '.*bad.png'") as caught:
        np.asarray(image)
    assert caught.value.source == str(bad)


def test_the_path_of_a_struct_stays_inside_root(path, tmp_path):
    loader = ImageLoader(root=tmp_path)
    inside = {"bytes": None, "path": "a.png"}
    np.testing.assert_array_equal(np.asarray(loader.transform([inside])[0, 0]), PIXELS)
    for outside in (str(path), f"file://{path}", "../a.png"):
        with pytest.raises(ImageReadError, match="leaves the folder root"):
            loader.transform([{"bytes": None, "path": outside}])


def test_rows_of_one_column_and_of_several_are_still_those_of_a_table(path):
    column = ImageLoader().transform([Row(image=str(path)), Row(image=str(path))])
    np.testing.assert_array_equal(np.asarray(column[1, 0]), PIXELS)
    with pytest.raises(ValueError, match="expects one column, got 2"):
        ImageLoader().transform([Row(path=str(path), label="cat")])


# --- columns of tables

STRUCTS = [{"bytes": PNG, "path": "a.png"}, {"bytes": PNG, "path": None}]
BYTES = [PNG, PNG]


@pytest.fixture
def pa():
    return pytest.importorskip("pyarrow")


def assert_is_column(X):
    column = ImageLoader().fit(X).transform(X)
    assert len(column) == 2
    for image in column[:, 0]:
        np.testing.assert_array_equal(np.asarray(image), PIXELS)


@pytest.mark.parametrize(
    "X",
    [
        pytest.param(pl.Series(STRUCTS), id="polars structs"),
        pytest.param(pl.DataFrame({"image": STRUCTS}), id="polars frame of structs"),
        pytest.param(pl.Series(BYTES), id="polars binary"),
        pytest.param(pd.Series(STRUCTS), id="pandas dicts"),
    ],
)
def test_columns_of_frames(X):
    assert_is_column(X)


@pytest.mark.parametrize("kind", ["struct", "binary", "large_binary", "binary_view", "fixed size"])
def test_columns_of_arrow(pa, kind):
    if kind == "struct":
        cells = pa.array(STRUCTS, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    else:
        cells = pa.array(
            BYTES, pa.binary(len(PNG)) if kind == "fixed size" else getattr(pa, kind)()
        )
    assert_is_column(cells)
    assert_is_column(list(cells))  # scalars
    assert_is_column(pa.chunked_array([cells[:1], cells[1:]]))
    assert_is_column(pa.table({"image": cells}))
    if kind != "binary_view":  # pandas has no column of these
        assert_is_column(pd.Series(cells, dtype=pd.ArrowDtype(cells.type)))


def test_arrow_scalars_of_paths_and_missing_values(pa, path):
    paths = pa.array([str(path), None])
    images = ImageLoader(on_error="nan").transform(list(paths))[:, 0]
    np.testing.assert_array_equal(np.asarray(images[0]), PIXELS)
    assert "the image is missing" in repr(images[1])
    with pytest.raises(FileNotFoundError, match=r"Row 0: .*none.png") as caught:
        ImageLoader().transform(list(pa.array(["none.png"])))
    assert caught.value.source == "none.png"


def test_estimators_that_take_images_take_structs_as_well():
    cells = [Row(bytes=PNG, path="a.png")] * 2
    images = load_column(cells, ImageLoader(), reset=False)
    np.testing.assert_array_equal(np.asarray(images[1]), PIXELS)


# --- tensors


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_tensor_has_its_channels_first(torch, channels):
    pixels = gradient(12, 8, 4)[:, :, :channels]
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    expected = load(pixels, colors="RGBA")
    np.testing.assert_array_equal(load(tensor, colors="RGBA"), expected)
    batch = ImageLoader(colors="RGBA").transform(torch.stack([tensor, tensor]))
    assert batch.shape == (2, 1)
    for image in (batch[1, 0], pickle.loads(pickle.dumps(batch[1, 0]))):
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_a_tensor_without_channels_is_grey(torch):
    grey = gradient(12, 8, 1)
    np.testing.assert_array_equal(load(torch.from_numpy(grey), colors="L"), grey)
    batch = ImageLoader(colors="L").transform(torch.from_numpy(np.stack([grey] * 5)))
    assert batch.shape == (5, 1)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 12, 3), r"tensor of shape \(8, 12, 3\); an image must have shape \(C, H, W\)"),
        ((3, 12, 3), r"tensor of shape \(3, 12, 3\); an image must have shape \(C, H, W\)"),
        ((2, 8, 12), r"tensor of shape \(2, 8, 12\)"),
        ((3, 0, 12), "without pixels"),
        ((12,), r"shape \(12,\)"),
    ],
    ids=str,
)
def test_a_tensor_of_another_shape_is_refused(torch, shape, message):
    with pytest.raises(ImageReadError, match=f"Row 0: .*{message}"):
        ImageLoader().transform([torch.zeros(shape, dtype=torch.uint8)])


def test_a_tensor_of_another_dtype_is_refused(torch):
    with pytest.raises(ImageReadError, match=r"tensor of dtype torch.float32 .*dtype uint8"):
        ImageLoader().transform([torch.zeros(3, 8, 12)])


def test_a_single_tensor_is_refused(torch):
    with pytest.raises(ValueError, match=r"X of shape \(3, 8, 12\) looks like one image"):
        ImageLoader().transform(torch.zeros(3, 8, 12, dtype=torch.uint8))


# --- open files


class Stream(RawIOBase):
    """A stream that cannot be rewound, as that of a response."""

    def __init__(self, data):
        self.data = BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.data.readinto(buffer)


def test_open_files_are_read_from_their_beginning_and_keep_their_position(path):
    with path.open("rb") as file, NamedTemporaryFile() as temporary:
        temporary.write(PNG)
        files = [file, BytesIO(PNG), temporary]
        for opened in files:
            opened.seek(5)
        loader = ImageLoader().fit(files)
        column, again = loader.transform(files), loader.transform(files)
        assert [opened.tell() for opened in files] == [5, 5, 5]
    for image in [*column[:, 0], *pickle.loads(pickle.dumps(again))[:, 0]]:
        np.testing.assert_array_equal(np.asarray(image), PIXELS)
    assert repr(column[0, 0]) == f"LazyImage({str(path)!r}, RGB)"


def test_a_stream_is_read_from_where_it_is():
    stream = BufferedReader(Stream(b"head" + PNG))
    stream.read(4)
    np.testing.assert_array_equal(load(stream), PIXELS)
    assert stream.read() == b""


def test_an_object_that_can_only_be_read():
    class Body:
        def read(self):
            return PNG

    np.testing.assert_array_equal(load(Body()), PIXELS)


def test_a_file_that_does_not_give_bytes_is_refused(path, tmp_path):
    closed = BytesIO(PNG)
    closed.close()
    with path.open(encoding="utf-8") as text:
        for file in (text, StringIO("text"), Stream(b"")):
            if isinstance(file, Stream):
                file.read = lambda: None  # of a file that does not block
            with pytest.raises(ImageReadError, match="an open file whose content is not bytes"):
                ImageLoader().transform([file])
    with pytest.raises(ImageReadError, match="Row 0: I/O operation on closed file"):
        ImageLoader().transform([closed])


def test_a_damaged_open_file_is_named_in_errors(tmp_path):
    bad = tmp_path / "bad.png.gz"
    with gzip.open(bad, "wb") as file:
        file.write(PNG[:60])
    with gzip.open(bad) as file:
        image = ImageLoader().transform([file])[0, 0]
    with pytest.raises(ImageReadError, match=r"cannot read '.*bad.png.gz'"):
        np.asarray(image)


def test_a_single_file_or_struct_is_refused(path):
    with path.open("rb") as file:
        for X in (file, BytesIO(PNG), Row(bytes=PNG, path="a.png"), Row(**spark_image(PIXELS))):
            with pytest.raises(ValueError, match="X is a single image; put it in a list"):
                ImageLoader().transform(X)


def test_frames_whose_columns_are_called_like_methods(path):
    for name in ("read", "as_uri", "full_name"):
        X = pd.DataFrame({name: [str(path)]}, index=["fs"])
        for column in (X, X[name], X[name].rename(index={"fs": "read"})):
            np.testing.assert_array_equal(np.asarray(ImageLoader().transform(column)[0, 0]), PIXELS)


@pytest.mark.slow
def test_columns_of_datasets():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image()})
    table = datasets.Dataset.from_dict({"image": STRUCTS}, features=features)
    encoded = table.cast_column("image", datasets.Image(decode=False))
    for column in (table["image"], encoded["image"], table.data.column("image")):
        loaded = ImageLoader().fit_transform(column)
        np.testing.assert_array_equal(np.asarray(loaded[1, 0]), PIXELS)
