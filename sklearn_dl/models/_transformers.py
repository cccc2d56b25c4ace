"""What transformers reads of a model's folder: quietly, from safetensors, its errors explained.

Importing this module imports torch and transformers.
"""

import tempfile
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

import safetensors.torch
from safetensors import SafetensorError

from sklearn_dl.utils._optional import import_optional

transformers = import_optional("transformers", extra="text", purpose="sklearn_dl")

_loading = RLock()


def load_config(content, folder):
    """The config of a model's folder; code in it is never run."""
    with explained(content, "config.json"):
        return transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )


def read_weights(content, names):
    """The tensors of safetensors files."""
    state = {}
    for name in names:
        try:
            if content.data is None:
                state.update(safetensors.torch.load_file(Path(content.folder, name)))
            else:
                state.update(safetensors.torch.load(content.data[name]))
        except SafetensorError as error:
            raise ValueError(f"{content.name}: {name} is damaged: {error}") from error
    return state


@contextmanager
def small_files_in_a_folder(content):
    """A folder with the config and what is beside it."""
    if content.data is None and content.folder is not None:
        yield content.folder
        return
    with tempfile.TemporaryDirectory(prefix="sklearn_dl_") as folder:
        for name, data in content.small_files().items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        yield folder


@contextmanager
def explained(content, what):
    """Whatever transformers raises about a model's files, as one error that names them."""
    try:
        yield
    # transformers lets errors of json, tokenizers, torch and its own through
    except Exception as error:
        raise ValueError(f"{content.name}: its {what} cannot be used: {error}") from error


@contextmanager
def quiet():
    """No bars and no reports of transformers inside; its global settings are put back."""
    transformers_logging = transformers.utils.logging
    with _loading:
        verbosity = transformers_logging.get_verbosity()
        bars = transformers_logging.is_progress_bar_enabled()
        transformers_logging.set_verbosity(transformers_logging.CRITICAL)
        transformers_logging.disable_progress_bar()
        try:
            yield
        finally:
            transformers_logging.set_verbosity(verbosity)
            if bars:
                transformers_logging.enable_progress_bar()
