"""Load configs, tokenizers and networks with transformers, from safetensors and without output.

transformers reads cleaned copies of the small files, never the folder itself.
Importing this module imports torch and transformers.
"""

import inspect
import json
import math
import re
import tempfile
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch.overrides import TorchFunctionMode

from sklearn_dl.models._folder_safety import (
    clean_config,
    clean_special_tokens,
    clean_tokenizer_config,
    short,
    vocabulary_files,
)
from sklearn_dl.utils._locks import ForkSafeLock
from sklearn_dl.utils._optional import import_optional

transformers = import_optional("transformers", extra="text", purpose="sklearn_dl")
get_configuration_file = transformers.configuration_utils.get_configuration_file

_loading = ForkSafeLock()

# networks that download a kernel when they are built on a machine with a GPU, or import timm
_FETCHING = ("mra", "yoso", "timm_wrapper", "timm_backbone")
# allowed parts of networks that consist of two networks
_PARTS = ("modernbert", "ultrabert", "gemma3_text", "siglip_vision_model")
# classes that no text encoder uses; some of them load other tokenizers or packages
_FOREIGN_TOKENIZERS = (
    *("AutoTokenizer", "RagTokenizer", "BioGptTokenizer", "CpmTokenizer", "CpmAntTokenizer"),
    *("FastSpeech2ConformerTokenizer", "FSMTTokenizer", "MistralCommonTokenizer"),
    *("NougatTokenizer", "Pop2PianoTokenizer", "VitsTokenizer", "Wav2Vec2PhonemeCTCTokenizer"),
)
# side of a feature map; published networks have 14
_LARGEST_LEVIT = 32
_LONGEST_REASON = 1000


def load_config(content, shapes, check):
    """Load the config of a model's folder; code in the folder is never run.

    Parameters
    ----------
    content : FolderContent
    shapes : dict of tuple of int
        Shapes of the weights, as `tensor_shapes` returns them.
    check : callable
        Called with the class of the config and a dict of its values, before the config is made and
        after. It raises an error if the network is not one that the caller wants.

    Raises
    ------
    ValueError
        If transformers does not know this type of model, or would download, import or run something
        for it.
    """
    with explained(content, "config.json"):
        asked = clean_config(_read_config(content), shapes, _names_of_config())
        config_class = _config_class(asked.get("model_type"))
        _check_parts(config_class, asked)
        if asked["model_type"] == "levit":
            _check_levit(asked)
    check(config_class, asked)
    with explained(content, "config.json"):
        config = config_class.from_dict(asked)
    check(type(config), vars(config))
    with explained(content, "config.json"):
        _check_made(config)
    return config


def _read_config(content):
    """Read the config for this version of transformers: a folder may contain several."""
    asked = content.read_json("config.json")
    if not asked.get("configuration_files"):
        return asked
    name = get_configuration_file(asked["configuration_files"])
    if name not in content.names() or "/" in name:
        raise ValueError(f"its configuration_files name {name!r}, which is not in its folder")
    return content.read_json(name)


def _names_of_config():
    """Names of the attributes of every config that are not settings, such as its methods."""
    base = transformers.PreTrainedConfig
    values = {field.name for field in fields(base)} if is_dataclass(base) else set()
    return {
        name
        for name in dir(base)
        if name not in values
        and name != "model_type"
        and not isinstance(inspect.getattr_static(base, name), property)
    }


def _config_class(model_type):
    known = transformers.CONFIG_MAPPING
    if not isinstance(model_type, str) or model_type not in known:
        raise ValueError(
            f"transformers {transformers.__version__} does not know the model_type "
            f"{short(model_type)}; code in the model's folder is never run"
        )
    if model_type in _FETCHING:
        raise ValueError(
            f"model_type {model_type!r} is refused: transformers would download a kernel for it, "
            "or import timm"
        )
    return known[model_type]


def _check_parts(config_class, asked):
    """Raise an error if a part of the network has a model_type that is not allowed."""
    for name, part_class in config_class.sub_configs.items():
        part = asked.get(name)
        if part_class is transformers.AutoConfig and isinstance(part, dict):
            model_type = part.get("model_type")
            if model_type not in (None, *_PARTS):
                raise ValueError(
                    f"model_type {short(model_type)} of {name} is refused; it must be one of "
                    f"{_PARTS}"
                )


def _check_levit(asked):
    """Raise an error for large maps: LeViT's code lists all pairs of their positions in Python."""
    side = asked.get("image_size", 224) // asked.get("patch_size", 16)
    if side > _LARGEST_LEVIT:
        raise ValueError(
            f"it claims maps of {side} x {side}; LeViT may have at most {_LARGEST_LEVIT} x "
            f"{_LARGEST_LEVIT}"
        )


def _check_made(config):
    """Raise an error if a config object asks for a kernel or for quantized weights."""
    for name in ("_attn_implementation", "_experts_implementation", "quantization_config"):
        asked = getattr(config, name, None)
        if asked not in (None, "eager", "sdpa"):
            raise ValueError(f"{name}={short(asked)} of {type(config).__name__} is refused")
    for part in vars(config).values():
        if isinstance(part, transformers.PreTrainedConfig):
            _check_made(part)


def load_tokenizer(content, config):
    """Load the tokenizer of a model's folder; only files of this folder are read."""
    with explained(content, "tokenizer"):
        files = vocabulary_files(content)
        names = content.names()
        asked: dict = {}
        if "tokenizer_config.json" in names:
            asked = clean_tokenizer_config(content.read_json("tokenizer_config.json"), names)
            files["tokenizer_config.json"] = json.dumps(asked).encode()
        if "special_tokens_map.json" in names:
            tokens = clean_special_tokens(content.read_json("special_tokens_map.json"))
            files["special_tokens_map.json"] = json.dumps(tokens).encode()
        for name in (asked.get("tokenizer_class"), getattr(config, "tokenizer_class", None)):
            if name is not None:
                _check_tokenizer_class(name)
        # some tokenizers read the type of the model
        files["config.json"] = json.dumps({"model_type": config.model_type}).encode()
        with _private_folder(files) as folder:
            return transformers.AutoTokenizer.from_pretrained(
                folder, config=config, local_files_only=True, trust_remote_code=False
            )


def _check_tokenizer_class(name):
    """Raise an error unless a name is a tokenizer's: transformers would use any of its classes."""
    backends = ("PythonBackend", "SentencePieceBackend")
    if not isinstance(name, str) or not ("Tokenizer" in name or name in backends):
        raise ValueError(f"tokenizer_class is {short(name)}; it must be the name of a tokenizer")
    if name.removesuffix("Fast") in _FOREIGN_TOKENIZERS:
        raise ValueError(f"tokenizer_class {name!r} is refused: text encoders do not use it")


def read_weights(content, names):
    """Read the tensors of safetensors files, by name."""
    state = {}
    for name in names:
        try:
            if content.data is None:
                state.update(safetensors.torch.load_file(Path(content.folder, name)))
            else:
                state.update(safetensors.torch.load(content.data[name]))
        # safetensors raises its own errors and those of torch
        except Exception as error:
            raise ValueError(f"{content.name}: {name} is damaged: {error}") from error
    return state


def load_model(content, model_class, config, state, shapes, may_lack, kind):
    """Make the network of a config with its weights, in float32 on the CPU.

    Parameters
    ----------
    content : FolderContent
    model_class : type
        The network's class in transformers.
    config : PreTrainedConfig
    state : dict of Tensor or None
        The weights by name. None: the weights are not set.
    shapes : dict of tuple of int
        Shapes of the weights; the network must not be larger.
    may_lack : callable
        Returns whether a tensor of this name may be missing in the weights, or have a different
        shape there.
    kind : str
        What the network is, in messages.

    Raises
    ------
    ValueError
        If the weights do not belong to the network.
    """
    loader: Any = _without_costly_failure(model_class, may_lack) if state else model_class
    with explained(content, "weights"), torch.random.fork_rng([]), _Budget(config, shapes):
        model, report = loader.from_pretrained(
            None,
            config=config,
            state_dict=state or {},
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            local_files_only=True,
        )
    if state is None:
        return model
    model.__class__ = model_class
    missing = sorted(name for name in report["missing_keys"] if not may_lack(name))
    if missing:
        raise ValueError(
            f"{content.name}: its weights lack {len(missing)} of the {kind}'s tensors, such as "
            f"{missing[0]!r}: config.json and the weights belong to different models."
        )
    for name, held, claimed in sorted(report["mismatched_keys"]):
        if not may_lack(name):
            raise ValueError(
                f"{content.name}: its weights cannot be used: config.json claims {name!r} of shape "
                f"{tuple(claimed)}, but the weights hold {tuple(held)}: they belong to different "
                "models."
            )
    return model


def _without_costly_failure(model_class, may_lack):
    """Return a subclass that does not initialise missing tensors if `load_model` then raises.

    Some classes draw initial values in Python loops, so the error would come only after minutes.
    """

    def initialize(self, *args, **kwargs):
        ignored = self._keys_to_ignore_on_load_missing or ()
        loaded = [
            getattr(parameter, "_is_hf_initialized", False)
            or may_lack(name)
            or any(re.search(pattern, name) for pattern in ignored)
            for name, parameter in self.named_parameters()
        ]
        if all(loaded) or not any(loaded):
            model_class._initialize_missing_keys(self, *args, **kwargs)

    # transformers looks at the names of classes
    names = {name: getattr(model_class, name) for name in ("__module__", "__qualname__")}
    return type(
        model_class.__name__, (model_class,), {"_initialize_missing_keys": initialize, **names}
    )


class _Budget(TorchFunctionMode):
    """Context that raises an error if this thread makes a network that is larger than its weights.

    transformers makes a network without allocating memory, and then allocates memory for the
    tensors that the weights lack.
    """

    def __init__(self, config, shapes):
        super().__init__()
        self.config = config
        self.held = sum(math.prod(shape) for shape in shapes.values())
        # a tensor of the file can be several of the network; the file can lack a pooler or head
        self.n_elements = 2 * self.held + 2**25
        self.n_tensors = 8 * len(shapes) + 256
        self.n_held = len(shapes)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Count the tensors that are made, and raise an error above the limits."""
        if func not in _MAKING:
            return func(*args, **(kwargs or {}))
        try:
            made = func(*args, **(kwargs or {}))
        except RuntimeError as error:  # sizes beyond what torch can count
            raise self._error(f"a tensor that torch cannot make ({error})") from error
        self.n_elements -= made.numel()
        self.n_tensors -= 1
        if self.n_elements < 0 or self.n_tensors < 0:
            claimed = [
                f"{key}={value}"
                for key, value in vars(self.config).items()
                if type(value) is int and value > 1 and value in made.shape
            ]
            raise self._error(
                f"more, with a tensor of shape {tuple(made.shape)} ({', '.join(claimed)})"
            )
        return made

    def _error(self, claim):
        return ValueError(
            f"the weights hold {self.n_held} tensors of {self.held} elements in all, but "
            f"config.json claims {claim}: they belong to different models"
        )


_MAKING = {
    *(torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange),
    *(torch.linspace, torch.eye, torch.tensor, torch.empty_strided),
}


@contextmanager
def _private_folder(files):
    """Yield a temporary folder that contains only `files`, a dict of bytes by name."""
    with tempfile.TemporaryDirectory(prefix="sklearn_dl_") as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        yield folder


@contextmanager
def explained(content, what):
    """Turn each error that transformers raises inside into a ValueError that names the files."""
    try:
        yield
    # transformers raises its own errors and those of json, tokenizers and torch
    except BaseException as error:
        # a panic in the native code of tokenizers is not an Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = str(error) or repr(error)
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[:_LONGEST_REASON]}..."
        raise ValueError(f"{content.name}: its {what} cannot be used: {reason}") from error


@contextmanager
def quiet():
    """Silence transformers' progress bars and reports inside; restore its global settings."""
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
