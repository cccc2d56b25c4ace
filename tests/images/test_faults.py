"""Faults of the machine are not bad images: they raise errors for any `on_error`."""

import errno
import os

import numpy as np
import pytest
from PIL import Image
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.images import ImageReadError, _lazy
from sklearn_dl.images._faults import machine_fault

MACHINE = [
    "EAGAIN",
    "EIO",
    "EMFILE",
    "ENFILE",
    "ENOBUFS",
    "ENOMEM",
    "ENOSPC",
    "ESTALE",
    "ETIMEDOUT",
]
OF_THE_FILE = ["EACCES", "EISDIR", "ELOOP", "ENAMETOOLONG", "ENOENT", "ENOTDIR", "EPERM"]
FAULTS = [OSError(getattr(errno, name), os.strerror(getattr(errno, name))) for name in MACHINE]
FAULTS.append(MemoryError("no memory"))


def pixels(paths, on_error="nan"):
    steps = ImageLoader(on_error=on_error), ImageResizer(4, 4), PixelExtractor()
    return make_pipeline(*steps).transform(paths)


@pytest.fixture
def paths(path):
    return [path, path]


@pytest.mark.parametrize("on_error", ["nan", "raise"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault)[:24])
def test_a_fault_while_a_file_is_opened_is_raised(paths, monkeypatch, fault, on_error):
    array = pixels(paths, on_error)

    def fail(*args, **kwargs):
        raise type(fault)(*fault.args)

    monkeypatch.setattr(_lazy, "open_file", fail)
    with pytest.raises(type(fault)) as raised:
        array.compute()
    assert raised.value.args == fault.args
    assert raised.value.__notes__ == [f"while {str(paths[0])!r} was read", "Row 0"]


def failing(file, at_call, fault):
    """`file`, whose read fails from this call on."""
    calls = []
    read = file.read

    class Failing:
        def read(self, *args):
            calls.append(args)
            if len(calls) >= at_call:
                raise fault
            return read(*args)

        def __getattr__(self, name):
            return getattr(file, name)

        def __enter__(self):
            return self

        def __exit__(self, *args):
            file.close()

    return Failing()


@pytest.mark.parametrize("format", ["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"])
def test_a_fault_while_a_file_is_read_is_raised(tmp_path, monkeypatch, format):
    path = tmp_path / "image"
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format, exif=exif)
    image = ImageLoader(on_error="nan").transform([path])[0, 0]
    opened = _lazy.open_file
    n_reads = 0
    while n_reads < 200:  # until the image is whole before the fault
        n_reads += 1
        fault = OSError(errno.EIO, "Input/output error")
        monkeypatch.setattr(
            _lazy,
            "open_file",
            lambda *args: failing(opened(*args), n_reads, fault),  # noqa: B023
        )
        try:
            image.to_pil()
        except OSError as error:
            assert error is fault  # noqa: PT017
        else:
            break
    assert 1 < n_reads < 200
    monkeypatch.setattr(_lazy, "open_file", opened)
    assert image.to_pil().size == ((200, 300) if format not in ("BMP", "GIF") else (300, 200))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs RLIMIT_NOFILE")
def test_a_process_without_descriptors_left_is_a_fault(paths):
    import resource

    array = pixels(paths)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/dev/fd")) + 1
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, limits[1]))
    try:
        try:
            while True:
                taken.append(open(os.devnull))  # noqa: SIM115
        except OSError as error:
            assert error.errno == errno.EMFILE  # noqa: PT017
        with pytest.raises(OSError, match="Too many open files"):
            array.read([0])
    finally:
        for file in taken:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert array.compute().shape == (2, 3, 4, 4)


@pytest.mark.parametrize("name", OF_THE_FILE)
def test_what_is_wrong_with_the_file_is_masked(paths, monkeypatch, name):
    array = pixels(paths)
    number = getattr(errno, name)
    error = OSError(number, os.strerror(number))
    monkeypatch.setattr(_lazy, "open_file", lambda *args: (_ for _ in ()).throw(error))
    with pytest.warns(UserWarning, match="2 of 2 images could not be read"):
        assert np.isnan(array.compute()).all()


def test_a_fault_while_a_file_is_looked_for_is_raised(path, monkeypatch):
    from sklearn_dl.images import _loader

    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(_loader, "file_stat", fail)
    with pytest.raises(OSError, match="Input/output error") as raised:
        ImageLoader().transform([path])
    assert raised.value.__notes__ == ["Row 0"]


def test_faults_behind_other_errors_are_found():
    fault = OSError(errno.EMFILE, "Too many open files")
    error = ValueError("cannot identify")
    error.__context__ = SyntaxError("not a PNG")
    error.__context__.__cause__ = fault
    assert machine_fault(error) is fault
    assert machine_fault(ImageReadError("damaged")) is None
    assert machine_fault(OSError("image file is truncated")) is None
    assert machine_fault(OSError("out of memory when reading image file")) is not None
    assert machine_fault(Image.UnidentifiedImageError("cannot identify")) is None


def test_a_fault_that_the_caller_handles_is_not_one_of_the_image(paths, tmp_path):
    """Python makes it the context of whatever is raised meanwhile."""
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    for fault in FAULTS:
        try:
            raise fault
        except (OSError, MemoryError):
            with pytest.warns(UserWarning, match="2 of 3 images could not be read"):
                array = np.asarray(pixels([paths[0], str(bad), str(tmp_path / "none.png")]))
        assert np.isnan(array[1:]).all()
