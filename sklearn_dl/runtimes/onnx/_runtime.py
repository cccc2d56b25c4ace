"""Import ONNX Runtime when it is needed, with its telemetry off."""

import os
import sys

from sklearn_dl.utils._locks import ForkSafeLock
from sklearn_dl.utils._optional import import_optional

_TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
_importing = ForkSafeLock()


def import_onnxruntime(*, extra="onnx", purpose):
    """Return the onnxruntime module; if this is its first import, its telemetry stays off.

    From version 1.29 on, ONNX Runtime sends facts about models and machine to its makers, and
    writes an identifier of the machine into the user's cache folder. A process that is forked after
    the import hangs when it exits, because the telemetry's thread does not exist there.

    If the user has set the environment variable ORT_DISABLE_TELEMETRY, its value is kept. If
    onnxruntime was imported before, its telemetry stays as it is.

    Parameters
    ----------
    extra, purpose : str
        As in `import_optional`.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    with _importing:
        if "onnxruntime" in sys.modules or _TELEMETRY_OFF in os.environ:
            return import_optional("onnxruntime", extra=extra, purpose=purpose)
        # ONNX Runtime reads it once, while it is imported; other processes do not inherit it
        os.environ[_TELEMETRY_OFF] = "1"
        try:
            return import_optional("onnxruntime", extra=extra, purpose=purpose)
        finally:
            del os.environ[_TELEMETRY_OFF]
