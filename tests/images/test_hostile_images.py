"""Files that lie about their size, formats that are not read, and swaps below `root`."""

import os
import pickle
import struct
import sys
import types
from io import BytesIO

import joblib
import numpy as np
import psutil
import pytest
from PIL import Image, ImageFile
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.images import SAFE_FORMATS, ImageReadError, _files
from sklearn_dl.images._av1 import av1_sizes
from tests.images.hostile_images import (
    BIG,
    avif,
    big_png,
    blp,
    box,
    codestream,
    dib,
    icns,
    ico,
    jp2,
    png_of_two_headers,
    tiff,
)
from tests.images.image_files import encode, gradient

PIXELS = gradient(16, 16)
RGB = Image.fromarray(PIXELS)


def load(cell, **params):
    return np.asarray(ImageLoader(**params).transform([cell])[0, 0])


@pytest.fixture
def nothing_is_decoded(monkeypatch):
    def decode(*args):
        raise AssertionError("something was decoded")

    for name in ("_getdecoder", "_decompression_bomb_check"):
        monkeypatch.setattr(Image, name, decode)


# --- sizes that the header does not tell


def long(value):
    return struct.pack("<I", value)


SQUARE = (1_200, 1_200)
INNER = {
    "ICO of a PNG": ico(big_png()),
    "ICO of a PNG of two headers": ico(png_of_two_headers()),
    "ICO of a bitmap": ico(dib(*BIG)),
    "ICO whose first icon is sound": ico(big_png(), encode(RGB, "PNG")),
    "ICNS of a PNG": icns(big_png()),
    "ICNS of a PNG of two headers": icns(png_of_two_headers()),
    "ICNS of a JPEG 2000 codestream": icns(codestream()),
    "ICNS of a JP2": icns(jp2(codestream(), BIG)),
    "TIFF": tiff(),
    "TIFF in YCbCr": tiff(photometric=6),
    "TIFF in LZW": tiff(compression=5),
    "TIFF in JPEG": tiff(compression=7),
    "big-endian TIFF": tiff(order=">"),
    "BigTIFF": tiff(big=True),
    "TIFF of one long row": tiff(tile=(2**20, 1024)),
    "TIFF of two tile sizes, the first too large": tiff(
        t322=[(4, BIG[0]), (4, 16)], t323=[(4, BIG[1]), (4, 16)]
    ),
    "TIFF of two tile sizes, the second too large": tiff(
        t322=[(4, 16), (4, BIG[0])], t323=[(4, 16), (4, BIG[1])]
    ),
    "TIFF whose tile size is beside the directory": tiff(
        t322=[(16, long(8))], t323=[(17, long(8))]
    ),
    "TIFF whose first entry is damaged": tiff(
        t322=[(16, long(2**32 - 1)), (4, BIG[0])], t323=[(16, long(2**32 - 1)), (4, BIG[1])]
    ),
    "AVIF": avif(SQUARE, (16, 16)),
}


@pytest.mark.parametrize("kind", INNER)
@pytest.mark.parametrize("ask", [np.asarray, lambda image: image.size], ids=["pixels", "size"])
def test_sizes_inside_respect_max_pixels(kind, ask, nothing_is_decoded):
    image = ImageLoader(max_pixels=1_000_000).transform([INNER[kind]])[0, 0]
    with pytest.raises(ImageReadError, match=r"inside has \d+ x \d+ pixels, more than max_pixels"):
        ask(image)


@pytest.mark.parametrize("kind", INNER)
def test_sizes_inside_hold_for_formats_of_ones_own(kind, nothing_is_decoded):
    with pytest.raises(ImageReadError, match="more than max_pixels=1000000"):
        load(INNER[kind], max_pixels=1_000_000, formats=list(SAFE_FORMATS))


@pytest.mark.parametrize("kind", [kind for kind in INNER if kind != "AVIF"])
def test_without_max_pixels_the_limit_of_pillow_holds_inside(kind, nothing_is_decoded):
    with pytest.raises(ImageReadError, match="more than Pillow's limit of 178956970"):
        load(INNER[kind], max_pixels=None)


def test_avif_is_read_up_to_what_is_inside():
    data = avif((64, 48), (64, 48))
    assert load(data, max_pixels=64 * 48).shape == (48, 64, 3)
    with pytest.raises(ImageReadError, match="64 x 48 pixels, more than max_pixels=3071"):
        load(data, max_pixels=64 * 48 - 1)


def test_av1_sizes_of_items_and_of_tracks():
    frames = [Image.new("RGBA", (66, 34), color) for color in ("red", "blue")]
    data = encode(frames[0], "AVIF", save_all=True, append_images=frames[1:])
    assert set(av1_sizes(BytesIO(data))) == {(66, 34)}
    for hidden in (b"meta", b"moov"):
        assert set(av1_sizes(BytesIO(data.replace(hidden, b"free")))) == {(66, 34)}
    nothing = data.replace(b"meta", b"free").replace(b"moov", b"free")
    assert list(av1_sizes(BytesIO(nothing))) == []


class Bits(str):
    """A string of 0 and 1 that grows."""

    def __call__(self, value, n_bits):
        return Bits(self + f"{value:0{n_bits}b}")


@pytest.mark.parametrize("uvlc", [Bits("1"), Bits("00100"), Bits("0" * 32)])
def test_av1_sizes_of_a_sequence_header_with_everything(uvlc):
    bits = Bits()(0, 4)(0, 1)(1, 1)(1, 32)(1, 32)(1, 1)  # timing info, equal intervals
    bits = Bits(bits + uvlc)(1, 1)(9, 5)(7, 32)(3, 10)  # decoder model, delays of 10 bits
    bits = bits(1, 1)(1, 5)  # display delays, two operating points
    bits = bits(0, 12)(8, 5)(1, 1)(1, 1)(5, 10)(6, 10)(0, 1)(1, 1)(2, 4)
    bits = bits(0, 12)(7, 5)(0, 1)(0, 1)
    bits = bits(15, 4)(14, 4)(20_000 - 1, 16)(17_850 - 1, 15)
    header = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    obus = b"\x12\0" + bytes([0x0E, 0, len(header)]) + header  # the second with an extension
    item = struct.pack(">HHHII", 1, 0, 2, 24, 3) + struct.pack(">II", 27, len(obus) - 3)
    meta = box(b"meta", b"\0\0\0\0" + box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, 1) + item))
    data = box(b"ftyp", b"avif\0\0\0\0") + box(b"mdat", obus) + meta
    assert list(av1_sizes(BytesIO(data))) == [BIG]
    with pytest.raises(ImageReadError, match="20000 x 17850 pixels, more than Pillow's limit"):
        load(data, max_pixels=None)


def test_avif_of_too_many_parts(nothing_is_decoded):
    data = encode(RGB, "AVIF") + box(b"free", b"") * 100_001
    with pytest.raises(ImageReadError, match="more than 100000 parts"):
        load(data)


def test_avif_of_too_many_images(nothing_is_decoded):
    sound = encode(RGB, "AVIF")
    offset, length = struct.unpack_from(">II", sound, sound.index(b"iloc") + 18)
    ftyp = box(b"ftyp", b"avif\0\0\0\0avif")
    item = struct.pack(">HHII", 0, 1, len(ftyp) + 8, length)
    items = b"".join(struct.pack(">H", i) + item for i in range(5))
    iloc = box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, 5) + items)
    mdat = box(b"mdat", sound[offset : offset + length])
    data = ftyp + mdat + box(b"meta", b"\0\0\0\0" + iloc)
    with pytest.raises(ImageReadError, match="more than 4 times the pixels of max_pixels=256"):
        load(data, max_pixels=256)


GRIDS = {
    "codestream": codestream((250, 250), (1, 1)),
    "JP2": jp2(codestream((250, 250), (1, 1)), (250, 250)),
    "JP2, codestream not at once": jp2(
        codestream((250, 250), (1, 1)), (250, 250), box(b"uuid", b"\0" * 16)
    ),
    "ICNS": icns(codestream((250, 250), (1, 1))),
}


@pytest.mark.parametrize("kind", GRIDS)
def test_tiles_that_cost_more_than_their_pixels(kind, nothing_is_decoded):
    with pytest.raises(ImageReadError, match="62500 tiles of 1 x 1 pixels"):
        load(GRIDS[kind])


def test_jp2_whose_codestream_is_hidden(nothing_is_decoded):
    stream = codestream((250, 250), (1, 1))
    with pytest.raises(ImageReadError, match="does not begin with its size"):
        load(jp2(stream[:2] + b"\xff\x64\0\4\0\1" + stream[2:], (250, 250), box(b"free", b"")))


SOUND = {
    "ICO": encode(RGB, "ICO", sizes=[(16, 16)]),
    "ICO of a bitmap": encode(RGB, "ICO", sizes=[(16, 16)], bitmap_format="bmp"),
    "TIFF of tiles": tiff((16, 16)),
    "big-endian TIFF of tiles": tiff((16, 16), order=">"),
    "BigTIFF of tiles": tiff((16, 16), big=True),
    "TIFF of strips": tiff(None),
    "JPEG 2000 of tiles": encode(RGB, "JPEG2000", tile_size=(8, 8)),
    "JPEG 2000 without its boxes": codestream((16, 16)),
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_files_are_read(kind):
    expected = load(Image.open(BytesIO(SOUND[kind])))
    np.testing.assert_array_equal(load(SOUND[kind], max_pixels=256), expected)


def test_icns_is_read():
    data = encode(Image.new("RGB", (16, 16), "red"), "ICNS")
    pixels = load(data, max_pixels=1024 * 1024)
    assert pixels.shape == (1024, 1024, 3)
    assert (pixels == [255, 0, 0]).all()


def test_what_is_decoded_is_measured_too(monkeypatch):
    """A format of the user's own, whose header says less than it decodes."""

    class Liar(ImageFile.ImageFile):
        format = "LIAR"

        def _open(self):
            self._size, self._mode = (2, 2), "L"

        def load(self):
            self._size = (20, 20)
            self.im = Image.core.fill("L", self._size, 0)

    monkeypatch.setitem(Image.OPEN, "LIAR", (Liar, lambda prefix: prefix.startswith(b"LIAR")))
    assert load(b"LIAR", formats=["LIAR"]).shape == (20, 20, 3)
    with pytest.raises(ImageReadError, match="20 x 20 pixels are more than max_pixels=399"):
        load(b"LIAR", formats=["LIAR"], max_pixels=399)
    with pytest.raises(ImageReadError, match=r"in the format LIAR.*\[\*SAFE_FORMATS, \"LIAR\"\]"):
        load(b"LIAR")


# --- formats

REFUSED = {
    "BLP": blp(),
    "CUR": ico(dib(16, 16), kind=2),
    "FLI": b"\0\0\0\0\x11\xaf" + b"\0" * 122,
    "FTEX": b"FTEX" + b"\0" * 60,
    "GRIB": b"GRIB\0\0\0\1" + b"\0" * 60,
    "IM": b"Image type: L image\r\nImage size (x*y): 4*4\r\n" + b"\0" * 500,
    "IMT": b"* made up\nwidth 4\nheight 4\n\x0c" + b"\0" * 16,
    "IPTC": b"\x1c\x03\x0a\0\1\0" + b"\0" * 20,
    "MSP": encode(Image.new("1", (8, 8)), "MSP"),
    "PCD": b"\0" * 2048 + b"PCD_" + b"\0" * 1536,
    "PSD": b"8BPS\0\1" + b"\0" * 60,
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + b"\0" * 60,
    "XBM": encode(Image.new("1", (8, 8)), "XBM"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_formats_not_vouched_for_are_refused_by_name(name, nothing_is_decoded):
    message = rf"in the format {name}, .*ImageLoader\(formats=\[\*SAFE_FORMATS, \"{name}\"\]\)"
    with pytest.raises(ImageReadError, match=message):
        load(REFUSED[name])


@pytest.mark.parametrize("name", ["BLP", "MSP", "XBM"])
def test_a_person_opts_in(name):
    image = Image.new("1" if name in ("MSP", "XBM") else "P", (8, 8), 1)
    data = encode(image, name)
    assert load(data, formats=[*SAFE_FORMATS, name]).shape == (8, 8, 3)
    assert load(data, formats=[name.lower()]).shape == (8, 8, 3)


def test_only_the_formats_listed_are_read():
    assert load(encode(RGB, "PNG"), formats=("PNG",)).shape == (16, 16, 3)
    with pytest.raises(ImageReadError, match="in the format GIF, which ImageLoader does not read"):
        load(encode(RGB, "GIF"), formats=("PNG",))
    with pytest.raises(ImageReadError, match=r"not an image in one of formats=\['PNG'\]"):
        load(encode(RGB, "TGA"), formats=("PNG",))
    with pytest.raises(ImageReadError, match="not an image in one of formats"):
        load(encode(RGB, "TGA"), formats=[])


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        (["PNG", "JPG"], "'JPG', which is not a format that can be read here; these are: AVIF, "),
        ([3], "holds 3, which is not a format"),
        (["EPS"], "'EPS', which is never read: it is PostScript"),
        (["MPO"], "'MPO', which Pillow reads as 'JPEG'"),
        ("PNG", "'formats' parameter of ImageLoader must be"),
        ({"PNG"}, "'formats' parameter of ImageLoader must be"),
    ],
)
def test_wrong_formats(formats, message):
    with pytest.raises(ValueError, match=message):
        ImageLoader(formats=formats).transform([PIXELS])


def test_formats_travel():
    loader = clone(ImageLoader(formats=["PNG"]))
    image = pickle.loads(pickle.dumps(loader.transform([encode(RGB, "GIF")])[0, 0]))
    assert image.decoding.formats == ("PNG",)
    with pytest.raises(ImageReadError, match="in the format GIF"):
        np.asarray(image)


def test_images_of_the_user_are_of_any_format():
    image = Image.open(BytesIO(encode(Image.new("1", (8, 8)), "MSP")))
    assert load(image, formats=["PNG"]).shape == (8, 8, 3)
    with pytest.raises(ImageReadError, match="8 x 8 pixels are more than max_pixels=63"):
        load(image, max_pixels=63)


def test_a_cursor_is_not_read_as_tga():
    """Their signatures are one; a TGA file has no number of cursors."""
    np.testing.assert_array_equal(load(encode(RGB, "TGA")), PIXELS)
    cursor = bytearray(ico(dib(16, 16), kind=2))
    cursor[14:18] = struct.pack("<I", 24 << 16)  # 24 bits, if it were TGA
    with pytest.raises(ImageReadError, match="in the format CUR"):
        load(bytes(cursor))


# --- HEIC

HEIC = box(b"ftyp", b"heic\0\0\0\0mif1heic") + b"\0" * 40


@pytest.mark.parametrize(
    "brands",
    [
        b"heic\0\0\0\0mif1",
        b"heix\0\0\0\0",
        b"hevc\0\0\0\0",
        b"mif1\0\0\0\0mif1heic",
        b"msf1\0\0\0\0",
    ],
)
def test_heic_names_its_package(brands, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageReadError, match=r"it is a HEIC image.*pip install pillow-heif"):
        load(box(b"ftyp", brands) + b"\0" * 40)


@pytest.mark.parametrize(
    "brands", [b"avif\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1avif", b"isom\0\0\0\0"]
)
def test_what_is_not_heic(brands):
    with pytest.raises(ImageReadError, match="not an image in a format that Pillow reads"):
        load(box(b"ftyp", brands) + b"\0" * 40)


def test_a_video_is_not_an_image():
    with pytest.raises(ImageReadError, match="not an image in a format that Pillow reads"):
        load(box(b"ftyp", b"isom\0\0\0\0") + box(b"moov", b"") * 100_001)


@pytest.mark.parametrize(
    "start", [b"II", b"MM", b"II*\0", b"\0\0\1\0", b"icns", b"\xff\x4f\xff\x51"]
)
def test_the_first_bytes_only(start):
    with pytest.raises(ImageReadError, match="not an image in a format that Pillow reads"):
        load(start)


def test_heic_is_a_format():
    with pytest.raises(ImageReadError, match="in the format HEIF"):
        load(HEIC, formats=["PNG"])


class FakeHeif(ImageFile.ImageFile):
    """What pillow-heif's plugin does, whose draft is a thumbnail."""

    format = "HEIF"
    claimed = (8, 6)

    def _open(self):
        if self.fp.read(12)[4:] != b"ftypheic":
            raise SyntaxError("no HEIC")
        self._size, self._mode = self.claimed, "RGB"

    def load(self):
        self.im = Image.core.fill("RGB", self.size, (1, 2, 3))

    def draft(self, mode, size):
        raise AssertionError("the thumbnail was taken")


@pytest.fixture
def fake_heif(monkeypatch):
    module = types.SimpleNamespace(HeifImageFile=FakeHeif)
    monkeypatch.setitem(sys.modules, "pillow_heif", module)


@pytest.mark.usefixtures("fake_heif")
def test_heic_is_read_without_being_registered():
    registered = set(Image.OPEN)
    np.testing.assert_array_equal(load(HEIC), np.broadcast_to([1, 2, 3], (6, 8, 3)))
    small = ImageResizer(2, 2).transform(ImageLoader().transform([HEIC]))
    assert np.asarray(small[0, 0]).tolist() == [[[1, 2, 3]] * 2] * 2
    assert set(Image.OPEN) == registered


@pytest.mark.usefixtures("fake_heif")
def test_heic_is_limited(monkeypatch):
    with pytest.raises(ImageReadError, match="8 x 6 pixels are more than max_pixels=47"):
        load(HEIC, max_pixels=47)
    with pytest.raises(ImageReadError, match="pillow-heif does not read: no HEIC"):
        load(HEIC.replace(b"ftypheic", b"ftypheix"))
    monkeypatch.setattr(FakeHeif, "claimed", BIG)
    with pytest.raises(ImageReadError, match="20000 x 17850 pixels, more than Pillow's limit"):
        load(HEIC, max_pixels=None)


def test_heic_in_this_process_and_in_workers(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "photo.heic"
    picture = heif.from_pillow(Image.fromarray(gradient(64, 48)))
    picture.save(file, quality=90, exif=exif.tobytes())
    upright = np.rot90(gradient(64, 48), -1).astype(int)

    def error(path):
        return abs(load(path) - upright).mean()

    assert error(file) < 4
    parallel = joblib.Parallel(n_jobs=2)
    assert max(parallel(joblib.delayed(error)(file) for _ in range(2))) < 4
    with pytest.raises(ImageReadError, match="48 x 64 pixels are more than max_pixels=3071"):
        load(file, max_pixels=64 * 48 - 1)
    lie = bytearray(file.read_bytes())
    at = lie.index(b"ispe") + 8
    lie[at : at + 8] = struct.pack(">II", 16, 16)
    with pytest.raises(ImageReadError):  # or an array of at most 16 x 16
        load(bytes(lie), max_pixels=256)


# --- root, when the file is opened


@pytest.fixture
def root(tmp_path):
    """A folder with "sub/a.png" (black), beside "secret/a.png" (white)."""
    for name, level in (("root/sub", 0), ("secret", 255)):
        (tmp_path / name).mkdir(parents=True)
        image = Image.new("RGB", (4, 4), (level,) * 3)
        image.save(tmp_path / name / "a.png")
    return tmp_path / "root"


def swap_file(root):
    (root / "sub" / "a.png").unlink()
    (root / "sub" / "a.png").symlink_to(root.parent / "secret" / "a.png")


def swap_folder(root):
    (root / "sub").rename(root.parent / "old")
    (root / "sub").symlink_to(root.parent / "secret")


def swap_root(root):
    root.rename(root.parent / "old")
    (root.parent / "secret").rename(root.parent / "sub")
    root.symlink_to(root.parent)


SWAPS = [swap_file, swap_folder, swap_root]
LEAVES = "leaves the folder root=.* or may do so: it is reached by a symbolic link"


@pytest.fixture(params=[True, False], ids=["descriptors", "comparing"])
def _both_ways(request, monkeypatch):
    """As POSIX does it, and as Windows has to."""
    monkeypatch.setattr(_files, "_BELOW_A_FOLDER", request.param)


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("kept", [lambda x: x, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_swap_after_transform_is_refused(root, swap, kept):
    column = kept(ImageLoader(root=root).transform(["sub/a.png"]))
    assert not np.asarray(column[0, 0]).any()
    swap(root)
    for ask in (np.asarray, lambda image: image.size):
        with pytest.raises(ImageReadError, match=LEAVES):
            ask(column[0, 0])


@pytest.mark.usefixtures("_both_ways")
def test_a_swap_during_the_opening_is_refused(root, monkeypatch):
    """After the path was looked at, before it is opened."""
    image = ImageLoader(root=root).transform(["sub/a.png"])[0, 0]
    really_open = os.open

    def open_late(name, flags, *args, **kwargs):
        if str(name).endswith("a.png"):
            swap_file(root)
        return really_open(name, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", open_late)
    with pytest.raises(ImageReadError, match=LEAVES):
        np.asarray(image)


def test_a_swap_by_a_pipe_is_not_waited_for(root, monkeypatch):
    image = ImageLoader(root=root).transform(["sub/a.png"])[0, 0]
    really_open = os.open

    def open_late(name, flags, *args, **kwargs):
        if str(name).endswith("a.png"):
            (root / "sub" / "a.png").unlink()
            os.mkfifo(root / "sub" / "a.png")
        return really_open(name, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", open_late)
    with pytest.raises(ImageReadError, match=r"a.png' is not a regular file"):
        np.asarray(image)


@pytest.mark.parametrize("swap", SWAPS)
def test_a_cached_column_is_refused(root, tmp_path, swap):
    def column():
        loader = ImageLoader(root=root)
        return joblib.Memory(tmp_path / "cache", verbose=0).cache(loader.transform)(["sub/a.png"])

    assert not np.asarray(column()[0, 0]).any()
    cached = column()
    swap(root)
    with pytest.raises(ImageReadError, match=LEAVES):
        np.asarray(cached[0, 0])


def test_a_swap_is_masked_if_so_wished(root):
    images = ImageLoader(root=root, on_error="nan").transform(["sub/a.png"])
    pixels = PixelExtractor().transform(ImageResizer(2, 2).transform(images))
    swap_file(root)
    with pytest.warns(UserWarning, match="1 of 1 images could not be read"):
        assert np.isnan(np.asarray(pixels)).all()


def test_a_second_loader_does_not_lift_root(root):
    column = ImageLoader(root=root).transform(["sub/a.png"])
    again = ImageLoader(mode="L").transform(column)
    assert not np.asarray(again[0, 0]).any()
    swap_file(root)
    with pytest.raises(ImageReadError, match=LEAVES):
        np.asarray(again[0, 0])


@pytest.mark.usefixtures("_both_ways")
def test_another_regular_file_is_read_anew(root):
    image = ImageLoader(root=root).transform(["sub/a.png"])[0, 0]
    os.replace(root.parent / "secret" / "a.png", root / "sub" / "a.png")
    assert (np.asarray(image) == 255).all()


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.unlink(), "the file '.*a.png' does not exist"),
        (lambda file: (file.unlink(), file.mkdir()), "a.png' is a folder, not a file"),
        (lambda file: (file.unlink(), os.mkfifo(file)), "a.png' is not a regular file"),
        (lambda file: file.write_bytes(b""), r"it is empty \(0 bytes\)"),
        (lambda file: (file.unlink(), file.parent.rmdir()), "the file '.*a.png' does not exist"),
    ],
    ids=["missing", "folder", "pipe", "empty", "no folder"],
)
@pytest.mark.parametrize("confined", [True, False])
def test_files_that_are_gone(root, change, message, confined):
    file = root / "sub" / "a.png"
    params = {"root": root} if confined else {}
    image = ImageLoader(**params).transform(["sub/a.png" if confined else file])[0, 0]
    change(file)
    with pytest.raises(ImageReadError, match=message):
        np.asarray(image)


def test_no_descriptor_is_left(root):
    (root / "bad.png").write_bytes(b"no image")
    (root / "bomb.ico").write_bytes(INNER["ICO of a PNG"])
    (root / "pages.tif").write_bytes(encode(RGB, "TIFF", save_all=True, append_images=[RGB]))
    (root / "packed.tif").write_bytes(encode(RGB, "TIFF", compression="tiff_lzw"))
    (root / "link.png").write_bytes(b"")
    cells = ["sub/a.png", "bad.png", "bomb.ico", "pages.tif", "packed.tif", "link.png", "none.png"]
    steps = make_pipeline(ImageLoader(root=root, on_error="nan"), ImageResizer(4, 4))
    images = steps.transform(cells)
    (root / "link.png").unlink()
    (root / "link.png").symlink_to(root / "sub" / "a.png")

    def used(n_calls):
        for _ in range(n_calls):
            with pytest.warns(UserWarning, match="4 of 7 images could not be read"):
                np.asarray(PixelExtractor().transform(images))
        return psutil.Process().num_fds()

    assert used(200) - used(1) < 5
