import os

import pytest

from sklearn_dl.utils._stamp import file_stamp
from tests.replaced import WAYS, replace


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(b"one")
    return tmp_path / "file"


def test_an_unchanged_file(file, tmp_path):
    stamp = file_stamp(file)
    (tmp_path / "copy").write_bytes(file.read_bytes())
    assert file_stamp(file) == file_stamp(str(file)) == stamp


@pytest.mark.parametrize("way", WAYS)
def test_another_file_of_the_same_size_and_time(file, way):
    stamp = file_stamp(file)
    replace(file, b"two", way)
    assert file_stamp(file) != stamp


def test_a_link_that_leads_to_another_file(file, tmp_path):
    replace(file, b"two", "in place")
    (tmp_path / "other").write_bytes(b"six")
    os.utime(tmp_path / "other", ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    link = tmp_path / "link"
    link.symlink_to("file")
    stamp = file_stamp(link)
    link.unlink()
    link.symlink_to("other")
    assert file_stamp(link) != stamp


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        file_stamp(tmp_path / "nothing")
