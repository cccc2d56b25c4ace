"""The folder in which this package keeps its own files."""

import os
from functools import lru_cache
from pathlib import Path

from sklearn_dl.utils._optional import import_optional


def home() -> Path:
    """Return the folder that SKLEARN_DL_HOME names; by default, one in the user's cache folder."""
    given = os.environ.get("SKLEARN_DL_HOME")
    if given:
        return Path(given).expanduser().absolute()
    return _default_home(os.environ.get("XDG_CACHE_HOME"), os.environ.get("HOME"))


@lru_cache(maxsize=4)
def _default_home(*environment: str | None) -> Path:
    platformdirs = import_optional("platformdirs", extra="models", purpose="model_path")
    return platformdirs.user_cache_path("sklearn_dl", appauthor=False)
