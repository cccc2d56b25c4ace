"""Images in stores that need no network: fsspec's memory, zip and tar archives."""

import errno
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import zipfile

import joblib
import numpy as np
import psutil
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageClassifier, ImageLoader, ImageResizer, PixelExtractor, clear_sessions
from sklearn_dl.images import ImageReadError
from sklearn_dl.images._loader import load_column
from tests.images.image_files import encode, gradient

fsspec = pytest.importorskip("fsspec")

from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

N_IMAGES = 30
LEVELS = np.arange(N_IMAGES) * 8
FILES = {
    f"images/{row}.png": encode(np.full((4, 6, 3), level, np.uint8), "PNG")
    for row, level in enumerate(LEVELS)
}
MEMORY = {"protocol": "memory"}


@pytest.fixture(autouse=True)
def memory():
    """fsspec's global filesystem in memory, with FILES in the folder /bucket."""
    filesystem = fsspec.filesystem("memory")
    for path, data in FILES.items():
        filesystem.pipe_file(f"/bucket/{path}", data)
    filesystem.pipe_file("/secret/a.png", FILES["images/0.png"])
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


@pytest.fixture
def archives(tmp_path):
    """The paths of a zip and of a tar archive with FILES."""
    paths = {"zip": tmp_path / "images.zip", "tar": tmp_path / "images.tar.gz"}
    with zipfile.ZipFile(paths["zip"], "w") as archive:
        for path, data in FILES.items():
            archive.writestr(path, data)
    write_tar(paths["tar"])
    return paths


def write_tar(path, *others):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in others:
            archive.addfile(member)


def pixels_of(cells, **params):
    steps = ImageLoader(**params), ImageResizer(2, 2), PixelExtractor()
    return make_pipeline(*steps).transform(cells)


def levels_of(cells, n_threads=2, **params):
    """The grey levels of images that have one level each."""
    values = pixels_of(cells, **params).compute(n_threads)
    assert (values == values[:, :1, :1, :1]).all()
    return values[:, 0, 0, 0]


def loaded(cell, **params):
    return ImageLoader(**params).transform([cell])[0, 0]


# --- what is read


@pytest.mark.parametrize("path", ["memory://bucket/", "memory:///bucket/", "bucket/", "/bucket/"])
@pytest.mark.parametrize("filesystem", [MEMORY, None], ids=["dict", "instance"])
def test_urls_and_paths(path, filesystem, memory):
    cells = [path + name for name in FILES]
    found = levels_of(cells, filesystem=filesystem or memory)
    np.testing.assert_array_equal(found, LEVELS)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("as_dict", [True, False], ids=["dict", "instance"])
def test_members_of_an_archive(kind, as_dict, archives):
    options = {"protocol": kind, "fo": str(archives[kind])}
    filesystem = options if as_dict else fsspec.filesystem(**options)
    rows = np.random.default_rng(0).integers(N_IMAGES, size=300)
    for start in ("", f"{kind}://"):
        cells = [f"{start}images/{row}.png" for row in rows]
        found = levels_of(cells, n_threads=4, filesystem=filesystem)
        np.testing.assert_array_equal(found, LEVELS[rows])


@pytest.mark.parametrize(
    ("options", "cells"),
    [
        ({"protocol": "dir", "path": "/bucket/images"}, ["1.png", "dir://2.png"]),
        (
            {"protocol": "simplecache"},
            ["bucket/images/1.png", "memory://bucket/images/2.png"],
        ),
    ],
    ids=["dir", "simplecache"],
)
def test_filesystems_in_front_of_others(options, cells, tmp_path):
    options = {**options, "target_protocol": "memory"}
    if options["protocol"] == "simplecache":
        options["cache_storage"] = str(tmp_path)
    np.testing.assert_array_equal(levels_of(cells, filesystem=options), LEVELS[1:3])
    instance = fsspec.filesystem(**options)
    np.testing.assert_array_equal(levels_of(cells, filesystem=instance), LEVELS[1:3])


@pytest.mark.parametrize("filesystem", [{"protocol": "file"}, None], ids=["dict", "instance"])
def test_a_local_filesystem_is_no_filesystem(path, pixels, tmp_path, filesystem):
    filesystem = filesystem or fsspec.filesystem("file")
    for cell in (path, str(path), path.as_uri()):
        image = loaded(cell, filesystem=filesystem)
        assert image.source == str(path)
        np.testing.assert_array_equal(np.asarray(image), pixels)
    (tmp_path / "link.png").symlink_to("/etc/hostname")
    with pytest.raises(ImageReadError, match="leaves the folder root"):
        loaded("link.png", filesystem=filesystem, root=tmp_path)


def test_rows_that_are_not_paths_are_read_as_always(path):
    png = encode(gradient(6, 4), "PNG")
    cells = [png, gradient(6, 4), io.BytesIO(png), {"bytes": png, "path": "none.png"}]
    for image in ImageLoader(filesystem=MEMORY, root="bucket").transform(cells)[:, 0]:
        np.testing.assert_array_equal(np.asarray(image), gradient(6, 4))


def test_paths_of_structs_are_in_the_filesystem():
    cells = [{"bytes": None, "path": "memory://bucket/images/1.png"}]
    assert levels_of(cells, filesystem=MEMORY) == LEVELS[1]


def test_files_that_fsspec_opened_bring_their_filesystem(archives):
    urls = [f"memory://bucket/images/{row}.png" for row in (3, 4)]
    np.testing.assert_array_equal(levels_of(fsspec.open_files(urls)), LEVELS[3:5])
    members = [f"zip://images/{row}.png::{archives['zip']}" for row in (3, 4)]
    array = pixels_of(fsspec.open_files(members))
    for some in (array, pickle.loads(pickle.dumps(array))):
        np.testing.assert_array_equal(np.asarray(some)[:, 0, 0, 0], LEVELS[3:5])
    with pytest.raises(ImageReadError, match="OpenFile with compression='gzip'") as caught:
        loaded(fsspec.open(urls[0], compression="gzip"))
    assert caught.value.source == "memory:///bucket/images/3.png"
    with pytest.raises(ValueError, match="X is a single image"):
        ImageLoader().transform(fsspec.open(urls[0]))


def test_nothing_is_read_before_the_pixels_are_asked_for(monkeypatch):
    read = []
    opened = fsspec.open_files([f"memory://bucket/images/{row}.png" for row in range(3)])

    def cat_file(self, path, start=None, end=None):
        read.append(path)
        return bytes(self.store[path].getbuffer()[start:end])

    for name in ("open", "info", "size", "exists"):
        monkeypatch.setattr(MemoryFileSystem, name, None)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    cells = [f"memory://bucket/images/{row}.png" for row in range(N_IMAGES)]
    array = pixels_of([*opened, *cells[3:]], filesystem=MEMORY)
    assert read == []
    np.testing.assert_array_equal(array.compute(3)[:, 0, 0, 0], LEVELS)
    assert sorted(read) == sorted(f"/bucket/{name}" for name in FILES)


# --- consent


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a.png",
        "gs://bucket/a.png",
        "memory://bucket/images/1.png",
        "https://host/a.png",
        "zip://a.png::s3://bucket/images.zip",
    ],
)
def test_a_url_without_a_filesystem_is_an_error_that_says_what_to_do(url):
    protocol = url.partition(":")[0]
    message = f"is a URL, .* ImageLoader\\(filesystem={{'protocol': '{protocol}'}}\\)"
    for cell in (url, {"bytes": None, "path": url}):
        with pytest.raises(ImageReadError, match=f"Row 0: '.*' {message}") as caught:
            ImageLoader().transform([cell])
        assert caught.value.source == url
    with pytest.raises(ImageReadError, match=message):
        load_column([url], ImageClassifier(), reset=False)


def test_paths_of_universal_pathlib(path, pixels):
    upath = pytest.importorskip("upath")
    for cell in (upath.UPath(path), upath.UPath(path.as_uri())):
        np.testing.assert_array_equal(np.asarray(loaded(cell)), pixels)
    url = upath.UPath("memory://bucket/images/5.png")
    with pytest.raises(ImageReadError, match="is a URL, and nothing is fetched") as caught:
        loaded(url)
    assert caught.value.source == str(url)
    assert levels_of([url], filesystem=url.fs) == LEVELS[5]
    with pytest.raises(ValueError, match="X is a single image"):
        ImageLoader(filesystem=url.fs).transform(url)


@pytest.mark.slow
def test_nothing_that_is_optional_is_imported_before_it_is_needed(path):
    optional = ["fsspec", "torch", "polars", "pyspark", "datasets", "upath"]
    script = (
        "import sys; from sklearn_dl import ImageLoader; import numpy as np\n"
        f"np.asarray(ImageLoader().transform([{str(path)!r}])[0, 0])\n"
        f"print([name for name in {optional} if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_without_fsspec_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ImportError, match=r"needs fsspec: pip install \"sklearn-dl\[stores\]\""):
        ImageLoader(filesystem=MEMORY).transform(["a.png"])


# --- root

ROOTS = ["memory://bucket/images", "memory://bucket/images/", "bucket/images", "/bucket/images"]


@pytest.mark.parametrize("root", ROOTS)
def test_root_of_urls_and_relative_paths(root):
    cells = ["1.png", "memory://bucket/images/2.png", "memory:///bucket/images/3.png"]
    np.testing.assert_array_equal(levels_of(cells, filesystem=MEMORY, root=root), LEVELS[1:4])


def test_the_root_may_be_the_whole_filesystem(archives):
    cells = ["bucket/images/1.png", "memory://bucket/images/2.png"]
    found = levels_of(cells, filesystem=MEMORY, root="memory://")
    np.testing.assert_array_equal(found, LEVELS[1:3])
    options = {"protocol": "zip", "fo": str(archives["zip"])}
    found = levels_of(["1.png", "zip://images/2.png"], filesystem=options, root="images")
    np.testing.assert_array_equal(found, LEVELS[1:3])


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize(
    "cell",
    [
        "../../secret/a.png",
        "../images/1.png",
        "x/../../../secret/a.png",
        "..",
        "%2e%2e/%2E%2E/secret/a.png",
        r"..\..\secret\a.png",
        "/secret/a.png",
        "/bucket/images/1.png",
        "memory://secret/a.png",
        "memory://bucket/a.png",
        "memory://bucket/images",
        "memory://bucket/images2/1.png",
        "memory://bucket/images/../../secret/a.png",
    ],
)
def test_root_is_not_left(root, cell):
    with pytest.raises(ImageReadError, match=r"Row 0: .* leaves root=.*; pass a URL that begins"):
        ImageLoader(filesystem=MEMORY, root=root).transform([cell])


@pytest.mark.parametrize("root", [None, "bucket/images"])
@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("s3://bucket/images/1.png", "is not in the filesystem.* begin with memory://$"),
        ("MEMORY://bucket/images/1.png", "is not in the filesystem"),
        ("file:///bucket/images/1.png", "is not in the filesystem"),
        ("zip://a.png::memory://bucket/images/1.png", "is not in the filesystem"),
        ("memory://a.png::file:///etc/hostname", "is a chain of URLs"),
        ("memory://bucket/images/a.png::memory", "is a chain of URLs"),
        ("", "the path is empty"),
        ("a\0.png", "contains a control character"),
        (".\t./a.png", "contains a control character"),
        (".\n./a.png", "contains a control character"),
    ],
)
def test_other_filesystems_and_impossible_paths_are_refused(root, cell, message):
    with pytest.raises(ImageReadError, match=f"Row 0: .*{message}"):
        ImageLoader(filesystem=MEMORY, root=root).transform([cell])


def test_a_root_in_another_filesystem_is_not_an_error_of_a_row():
    loader = ImageLoader(filesystem=MEMORY, root="s3://bucket", on_error="nan")
    with pytest.raises(ValueError, match=r"^'s3://bucket' is not in the filesystem"):
        loader.transform(["a.png"])


def test_a_url_of_another_host_is_refused():
    pytest.importorskip("requests")
    loader = ImageLoader(filesystem={"protocol": "webhdfs", "host": "one", "port": 9870})
    loader.transform(["webhdfs://one:9870/a.png", "/a.png"])
    for url in ("webhdfs://two:9870/a.png", "webhdfs://one:9871/a.png"):
        with pytest.raises(ImageReadError, match="but ImageLoader's filesystem has a different"):
            loader.transform([url])


@pytest.mark.parametrize("params", [{"filesystem": MEMORY}, {"root": "x", "filesystem": MEMORY}])
def test_a_loader_cannot_move_images_that_are_lazy_already(params):
    column = ImageLoader(filesystem=MEMORY, root="bucket").transform(["images/1.png"])
    name = next(iter(params))
    with pytest.raises(ValueError, match=f"Row 0 is already a lazy image, so {name} cannot apply"):
        ImageLoader(**params).transform(column)
    again = ImageLoader(colors="L").transform(column)
    assert np.asarray(again[0, 0]).tolist() == [[LEVELS[1]] * 6] * 4


# --- errors


def test_a_missing_file_is_named_with_its_row():
    cells = ["1.png", "none.png", "memory://bucket/images/gone.png"]
    params = {"filesystem": MEMORY, "root": "memory://bucket/images"}
    array = pixels_of(cells, **params)
    with pytest.raises(ImageReadError, match=r"Row 1: cannot read .*: it does not exist") as caught:
        array.compute()
    assert (caught.value.row, caught.value.source) == (1, "memory:///bucket/images/none.png")
    array = pixels_of(cells, on_error="nan", **params)
    with pytest.warns(UserWarning, match="2 of 3 images could not be read"):
        assert np.isnan(array.compute()).all(axis=(1, 2, 3)).tolist() == [False, True, True]


class Broken(MemoryFileSystem):
    """A filesystem that raises `error` when it is read."""

    protocol = "broken"
    cachable = False
    error: BaseException

    def cat_file(self, path, **kwargs):
        raise self.error


class HTTPError(Exception):
    def __init__(self, status):
        self.status = status
        super().__init__(f"status {status}")


def broken(error):
    vars(error).pop("__notes__", None)  # of another test
    filesystem = Broken()
    filesystem.error = error
    return filesystem


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        TimeoutError("slow"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        OSError(errno.EBUSY, "slow down"),
        OSError("no number"),
        RuntimeError("loop is closed"),
        HTTPError(401),
        HTTPError(429),
        HTTPError(503),
        type("ClientError", (Exception,), {})("unknown"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_a_store_that_fails_says_nothing_about_an_image(error, on_error):
    array = pixels_of(["broken://a.png"], filesystem=broken(error), on_error=on_error)
    with pytest.raises(OSError, match=re.escape(str(error) or "TimeoutError")) as caught:
        array.compute()
    assert caught.value.errno not in (None, errno.ENOENT)
    assert caught.value.__notes__ == ["while 'broken://a.png' was read", "Row 0"]


def test_too_little_memory_is_raised_as_it_is():
    array = pixels_of(["a.png"], filesystem=broken(MemoryError("no memory")), on_error="nan")
    with pytest.raises(MemoryError, match="no memory"):
        array.compute()


@pytest.mark.parametrize(
    "error",
    [
        PermissionError("denied"),
        IsADirectoryError(errno.EISDIR, "a folder"),
        OSError(errno.EINVAL, "no such range"),
        ValueError("no such version"),
        KeyError("linkname"),
        HTTPError(403),
        HTTPError(410),
        zipfile.BadZipFile("Bad CRC-32"),
        type("ParamValidationError", (Exception,), {})("no such bucket"),
    ],
    ids=repr,
)
def test_what_is_wrong_with_one_file_is_masked(error):
    array = pixels_of(["broken://a.png"], filesystem=broken(error), on_error="nan")
    with pytest.warns(UserWarning, match="1 of 1 images could not be read.*'broken://a.png'"):
        assert np.isnan(array.compute()).all()


def test_damaged_files_and_members(archives, memory):
    memory.pipe_file("/bucket/empty.png", b"")
    memory.pipe_file("/bucket/half.png", FILES["images/1.png"][:40])
    for name, message in (("empty", r"it is empty \(0 bytes\)"), ("half", "it is not an image")):
        with pytest.raises(ImageReadError, match=f"bucket/{name}.png': {message}"):
            np.asarray(loaded(f"bucket/{name}.png", filesystem=MEMORY))
    whole = archives["zip"].read_bytes()
    archives["zip"].write_bytes(whole.replace(FILES["images/1.png"], FILES["images/2.png"]))
    options = {"protocol": "zip", "fo": str(archives["zip"])}
    with pytest.raises(ImageReadError, match=r"'zip://images/1.png': Bad CRC-32"):
        np.asarray(loaded("images/1.png", filesystem=options))
    archives["zip"].write_bytes(whole[:-30])
    with pytest.raises(zipfile.BadZipFile):
        loaded("images/1.png", filesystem=options, on_error="nan")


def test_links_and_devices_in_a_tar_lead_nowhere(tmp_path):
    members = [tarfile.TarInfo(f"{name}.png") for name in ("inside", "outside", "dots", "fifo")]
    for member, target in zip(
        members, ["images/3.png", "/etc/hostname", "../../etc/hostname"], strict=False
    ):
        member.type, member.linkname = tarfile.SYMTYPE, target
    members[-1].type = tarfile.FIFOTYPE
    write_tar(tmp_path / "images.tar.gz", *members)
    options = {"protocol": "tar", "fo": str(tmp_path / "images.tar.gz")}
    cells = [member.name for member in members]
    array = pixels_of(cells, filesystem=options, on_error="nan")
    with pytest.warns(UserWarning, match="3 of 4 images could not be read"):
        found = array.compute()[:, 0, 0, 0]
    np.testing.assert_array_equal(found, [LEVELS[3], np.nan, np.nan, np.nan])


@pytest.mark.slow
def test_a_member_that_unpacks_to_a_large_file_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(80_000_000))
    options = {"protocol": "zip", "fo": str(tmp_path / "bomb.zip")}
    with pytest.raises(ImageReadError, match=r"'zip://bomb.png': it has more than 67108864 by"):
        np.asarray(loaded("bomb.png", filesystem=options, max_pixels=1000))


@pytest.mark.parametrize(
    ("filesystem", "kind", "message"),
    [
        ({"protocol": "nothing"}, ValueError, "Protocol not known: nothing"),
        ({"anon": True}, ValueError, "a dict without the protocol"),
        ({"protocol": None}, ValueError, "a dict without the protocol"),
        ({"protocol": "zip", "fo": "/none.zip"}, FileNotFoundError, "/none.zip"),
        ("s3", ValueError, "'filesystem' parameter of ImageLoader must be"),
        (3, ValueError, "'filesystem' parameter of ImageLoader must be"),
    ],
    ids=str,
)
def test_a_filesystem_that_cannot_be_opened_is_not_an_error_of_a_row(filesystem, kind, message):
    with pytest.raises(kind, match=message) as caught:
        ImageLoader(filesystem=filesystem, on_error="nan").transform(["a.png"])
    assert not hasattr(caught.value, "row")


def test_a_store_that_is_not_there_in_another_process_is_a_fault(archives):
    options = {"protocol": "zip", "fo": str(archives["zip"])}
    array = pixels_of(["images/1.png"], filesystem=options, on_error="nan")
    pickled = pickle.dumps(array)
    archives["zip"].unlink()
    with pytest.raises(OSError, match="the store cannot be opened: FileNotFoundError"):
        pickle.loads(pickled).compute()


# --- processes, threads and memory


@pytest.mark.parametrize("kind", ["memory", "zip", "tar"])
@pytest.mark.parametrize("as_dict", [True, False], ids=["dict", "instance"])
def test_pickles_and_hashes(kind, as_dict, archives):
    options = {"protocol": kind, **({"fo": str(archives[kind])} if kind in archives else {})}
    filesystem = options if as_dict else fsspec.filesystem(**options)
    start = "bucket/" if kind == "memory" else ""
    cells = [start + name for name in FILES]
    loader = ImageLoader(filesystem=filesystem)
    for copied in (clone(loader), pickle.loads(pickle.dumps(loader))):
        pixels = PixelExtractor().transform(ImageResizer(2, 2).transform(copied.transform(cells)))
        restored = pickle.loads(pickle.dumps(pixels))
        np.testing.assert_array_equal(restored.compute()[:, 0, 0, 0], LEVELS)
    column = loader.transform(cells)
    assert joblib.hash(column) == joblib.hash(loader.transform(cells))
    assert joblib.hash(column) != joblib.hash(loader.transform(cells[::-1]))
    assert len(pickle.dumps(column)) < 150 * N_IMAGES  # one filesystem for all


def test_a_filesystem_that_cannot_be_pickled(archives):
    with archives["zip"].open("rb") as file:
        filesystem = fsspec.filesystem("zip", fo=file)
        loader = ImageLoader(filesystem=filesystem)
        assert levels_of(["images/1.png"], filesystem=filesystem) == LEVELS[1]
        for work in (
            lambda: pickle.dumps(loader),
            lambda: clone(loader),
            lambda: pickle.dumps(loader.transform(["images/1.png"])),
        ):
            with pytest.raises(TypeError, match=r"as a dict, .*={'protocol': 'zip', ...}"):
                work()


def test_an_archive_that_was_replaced_is_read_anew(archives):
    options = {"protocol": "zip", "fo": str(archives["zip"])}
    assert levels_of(["images/1.png"], filesystem=options) == LEVELS[1]
    with zipfile.ZipFile(archives["zip"], "w") as archive:
        archive.writestr("images/1.png", FILES["images/9.png"])
    assert levels_of(["images/1.png"], filesystem=options) == LEVELS[9]


@pytest.mark.slow
def test_no_descriptor_thread_or_instance_is_left(archives):
    options = {"protocol": "zip", "fo": str(archives["zip"])}
    cached = {"protocol": "memory", "use_listings_cache": False}

    def used(n_calls):
        for _ in range(n_calls):
            levels_of(list(FILES), n_threads=3, filesystem=options)
            array = pixels_of([f"bucket/{name}" for name in FILES], filesystem=cached)
            pickle.loads(pickle.dumps(array)).compute(3)
        process = psutil.Process()
        return process.num_fds(), process.num_threads(), len(MemoryFileSystem._cache)

    once, often = used(1), used(20)
    assert often[0] == once[0]
    assert often[1] < once[1] + 3
    assert often[2] == once[2]
    clear_sessions()
    np.testing.assert_array_equal(levels_of(list(FILES), filesystem=options), LEVELS)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("as_dict", [True, False], ids=["dict", "instance"])
def test_an_archive_that_was_opened_before_a_fork(archives, as_dict):
    """A child that shared the parent's descriptor would move its position."""
    script = f"""
import os, warnings
import fsspec, numpy as np
from sklearn.pipeline import make_pipeline
from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor

warnings.simplefilter("ignore", DeprecationWarning)  # of threads and forks
options = {{"protocol": "tar", "fo": {str(archives["tar"])!r}}}
filesystem = options if {as_dict} else fsspec.filesystem(**options)
loader = ImageLoader(filesystem=filesystem)
cells = [f"images/{{row}}.png" for row in range({N_IMAGES})] * 4
before = make_pipeline(loader, ImageResizer(2, 2), PixelExtractor()).transform(cells)
before.compute(2)
children = []
for _ in range(2):
    child = os.fork()
    if not child:
        children = []
        break
    children.append(child)
after = make_pipeline(loader, ImageResizer(2, 2), PixelExtractor()).transform(cells)
for array in (before, after):
    found = array.compute(2)[:, 0, 0, 0]
    np.testing.assert_array_equal(found, np.tile(np.arange({N_IMAGES}) * 8, 4))
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_repr_does_not_show_the_keys_to_a_store():
    loader = ImageLoader(filesystem={"protocol": "memory", "secret": "key-to-the-store"})
    pipe = make_pipeline(loader, ImageResizer())
    for shown in (repr(loader), repr(pipe), loader._repr_html_(), pipe._repr_html_()):
        assert "key-to-the-store" not in shown
        assert "memory" in shown
    assert loader.get_params()["filesystem"]["secret"] == "key-to-the-store"
    assert "filesystem={'protocol': 'memory'}" in repr(ImageLoader(filesystem=MEMORY))
