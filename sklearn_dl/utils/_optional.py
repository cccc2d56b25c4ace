"""Optional dependencies, imported at the moment of use."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module

# modules that several estimators need, and that several extras install
_RUNTIMES = {"accelerate", "onnx", "onnxruntime", "tensorflow", "torch", "transformers"}
_ESTIMATOR_EXTRAS = {"onnx", "tensorflow", "text", "vision"}
_estimator: ContextVar[tuple[str, str] | None] = ContextVar("estimator", default=None)


@contextmanager
def needed_by(estimator) -> Iterator[None]:
    """Within this context, the error of a missing runtime names `estimator` and its extra."""
    if _estimator.get() is not None or not hasattr(estimator, "_extra"):
        yield
        return
    token = _estimator.set((type(estimator).__name__, estimator._extra))
    try:
        yield
    finally:
        _estimator.reset(token)


def import_optional(module, *, extra, purpose):
    """Import `module`; if it is not installed, the error names the extra that installs it.

    Parameters
    ----------
    module : str
        Dotted name.
    extra : str
        The extra of sklearn-dl that installs it.
    purpose : str
        What needs the module, in the message. Within `needed_by`, the error of a missing runtime
        names the estimator and its extra instead.

    Raises
    ------
    ImportError
        If the module's package is not installed. An ImportError raised inside an installed
        package is not changed.
    """
    if module in _RUNTIMES and extra in _ESTIMATOR_EXTRAS:
        purpose, extra = _estimator.get() or (purpose, extra)
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        hint = f'pip install "sklearn-dl[{extra}]"'
        if top == "onnxruntime":
            hint += " (or onnxruntime-gpu; never both: they overwrite each other)"
        raise ImportError(f"{purpose} needs {top}: {hint}") from error
