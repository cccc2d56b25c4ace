"""Optional dependencies, imported at the moment of use."""

from importlib import import_module


def import_optional(module, *, extra, purpose):
    """Import `module`, or say which extra installs it.

    Parameters
    ----------
    module : str
        Dotted name.
    extra : str
        The extra of sklearn-dl that installs it.
    purpose : str
        What needs it, for the message ("OnnxScorer").

    Raises
    ------
    ImportError
        If the module's package is not installed. An ImportError raised inside an installed
        package is passed on as it is.
    """
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
