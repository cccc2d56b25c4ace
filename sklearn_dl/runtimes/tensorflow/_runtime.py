"""TensorFlow itself: imported at the moment of use, quietly, and never after a fork."""

import logging
import os
import sys
import tempfile
from contextlib import contextmanager
from threading import Lock

from sklearn_dl.utils._optional import import_optional

_importing = Lock()
_counting = Lock()
_n_quiet = 0
_level = 0
_used = False
_dead_after_fork = False


def _after_fork():
    global _importing, _dead_after_fork
    _importing = Lock()
    context = sys.modules.get("tensorflow.python.eager.context")
    eager = getattr(getattr(context, "_context", None), "_initialized", False)
    _dead_after_fork = _dead_after_fork or _used or bool(eager)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def import_tensorflow(verbose=0):
    """The tensorflow module, imported without its start-up messages unless `verbose` > 1.

    Raises
    ------
    ImportError
        If it is not installed.
    RuntimeError
        In a forked child of a process that has used TensorFlow, where it would wait forever.
    """
    if _dead_after_fork:
        raise RuntimeError(
            "This process was forked from one that had used TensorFlow, whose threads do not live "
            "on in it: it would hang. Start processes with spawn or loky (joblib's default)."
        )
    with _importing:
        if "tensorflow" in sys.modules or verbose > 1:
            return import_optional("tensorflow", extra="tensorflow", purpose="TensorFlowScorer")
        with _without_start_up_messages():
            tf = import_optional("tensorflow", extra="tensorflow", purpose="TensorFlowScorer")
            tf.config.list_physical_devices()  # looks for GPUs, and says much about it
            return tf


@contextmanager
def _without_start_up_messages():
    """What C++ writes while TensorFlow is imported goes nowhere, but is shown if that fails."""
    asked = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    if asked is not None:
        yield
        return
    # read once, at the first message; those before that go to the descriptor in any case
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
    """`import_tensorflow`, for work after which a forked child would hang."""
    global _used
    tf = import_tensorflow(verbose)
    _used = True
    return tf


def require_eager(tf):
    """Raise if what needs TensorFlow's eager execution cannot have it.

    Raises
    ------
    ValueError
        If it is switched off, or inside a graph.
    """
    if not tf.executing_eagerly():
        raise ValueError(
            "TensorFlow's eager execution is switched off in this process "
            "(tf.compat.v1.disable_eager_execution, disable_v2_behavior), which Keras models and "
            "models in memory need. Leave it on, or give the folder of a SavedModel or a frozen "
            "graph, which need it not."
        )


@contextmanager
def quiet(tf, verbose):
    """TensorFlow's Python warnings (of deprecated functions) are not shown; its level stays."""
    global _n_quiet, _level
    if verbose > 1:
        yield
        return
    logger = tf.get_logger()
    # several threads may load models: the first one keeps the level, the last one puts it back
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
