"""Files that are replaced by others which look the same from outside."""

import os
from pathlib import Path

WAYS = ["in place", "by another file"]


def replace(path, data, way):
    """Give a file other content of the same size, and its old times."""
    path = Path(path)
    before = path.stat()
    assert len(data) == before.st_size
    target = path if way == "in place" else path.with_name("other")
    target.write_bytes(data)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    target.replace(path)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
