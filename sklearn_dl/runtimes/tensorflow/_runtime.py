"""Import TensorFlow when it is needed, without its messages; raise an error where it would hang."""

import logging
import os
import sys
import tempfile
from contextlib import contextmanager

from sklearn_dl.utils._locks import ForkSafeLock
from sklearn_dl.utils._optional import import_optional

_importing = ForkSafeLock()
_counting = ForkSafeLock()
_n_quiet = 0
_level = 0
_used = False
_dead_after_fork = False


def _after_fork():
    global _dead_after_fork
    context = sys.modules.get("tensorflow.python.eager.context")
    eager = getattr(getattr(context, "_context", None), "_initialized", False)
    _dead_after_fork = _dead_after_fork or _used or bool(eager)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def import_tensorflow(verbose=0):
    """Return the tensorflow module, imported without its start-up messages unless `verbose` > 1.

    Raises
    ------
    ImportError
        If it is not installed.
    RuntimeError
        If this process was forked from one that had used TensorFlow, where it would hang.
    """
    if _dead_after_fork:
        raise RuntimeError(
            "This process was forked from one that had used TensorFlow. TensorFlow would hang "
            "here, because its threads do not exist in a forked process. Start processes with "
            "spawn or loky (joblib's default)."
        )
    with _importing:
        if "tensorflow" in sys.modules or verbose > 1:
            return import_optional("tensorflow", extra="tensorflow", purpose="TensorFlowScorer")
        with _without_start_up_messages():
            tf = import_optional("tensorflow", extra="tensorflow", purpose="TensorFlowScorer")
            tf.config.list_physical_devices()  # looks for GPUs, and writes messages
            return tf


@contextmanager
def _without_start_up_messages():
    """Hide what C++ writes while TensorFlow is imported, but show it if the import fails."""
    asked = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    if asked is not None:
        yield
        return
    # TensorFlow reads it at its first message; earlier messages go to the descriptor in any case
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            messages.seek(0)
            os.write(kept, messages.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            del os.environ["TF_CPP_MIN_LOG_LEVEL"]


def use_tensorflow(verbose=0):
    """Import TensorFlow, and note that it was used: later forks of this process cannot use it."""
    global _used
    tf = import_tensorflow(verbose)
    _used = True
    return tf


def require_eager(tf):
    """Raise a ValueError if TensorFlow does not execute eagerly.

    Raises
    ------
    ValueError
        If eager execution is switched off, or this is called inside a graph.
    """
    if not tf.executing_eagerly():
        raise ValueError(
            "TensorFlow's eager execution is switched off in this process "
            "(tf.compat.v1.disable_eager_execution, disable_v2_behavior). Keras models and models "
            "in memory need it. Leave it on, or pass the folder of a SavedModel or a frozen graph, "
            "which do not need it."
        )


@contextmanager
def quiet(tf, verbose):
    """Hide TensorFlow's Python warnings (about deprecated functions); then restore its level."""
    global _n_quiet, _level
    if verbose > 1:
        yield
        return
    logger = tf.get_logger()
    # several threads may load models: the first one saves the level, the last one restores it
    with _counting:
        if not _n_quiet:
            _level = logger.level
            logger.setLevel(logging.ERROR)
        _n_quiet += 1
    try:
        yield
    finally:
        with _counting:
            _n_quiet -= 1
            if not _n_quiet:
                logger.setLevel(_level)
