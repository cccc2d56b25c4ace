"""What transformers makes of a model's folder: quietly, from safetensors, its errors explained.

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
from threading import RLock
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
from sklearn_dl.utils._optional import import_optional

transformers = import_optional("transformers", extra="text", purpose="sklearn_dl")
get_configuration_file = transformers.configuration_utils.get_configuration_file

_loading = RLock()

# their networks fetch a kernel when they are built where there is a GPU, or import timm
_FETCHING = ("mra", "yoso", "timm_wrapper", "timm_backbone")
# what networks that are made of two others may be made of
_PARTS = ("modernbert", "ultrabert", "gemma3_text", "siglip_vision_model")
# classes that are not of texts, and import what they need
_FOREIGN_TOKENIZERS = (
    *("AutoTokenizer", "RagTokenizer", "BioGptTokenizer", "CpmTokenizer", "CpmAntTokenizer"),
    *("FastSpeech2ConformerTokenizer", "FSMTTokenizer", "MistralCommonTokenizer"),
    *("NougatTokenizer", "Pop2PianoTokenizer", "VitsTokenizer", "Wav2Vec2PhonemeCTCTokenizer"),
)
# published ones have 14
_LARGEST_LEVIT = 32
_LONGEST_REASON = 1000


def load_config(content, shapes, check):
    """The config of a model's folder; code in it is never run.

    Parameters
    ----------
    content : FolderContent
    shapes : dict of tuple of int
        Of the weights, as `tensor_shapes` gives them.
    check : callable
        Raises if a config of this class, with these values as dict, is not of a network that is
        wanted. It is asked before the config is made, and after.

    Raises
    ------
    ValueError
        If transformers does not know it, or would fetch, import or run something for it.
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
    """The config for this version of transformers: a folder may hold several."""
    asked = content.read_json("config.json")
    if not asked.get("configuration_files"):
        return asked
    name = get_configuration_file(asked["configuration_files"])
    if name not in content.names() or "/" in name:
        raise ValueError(f"its configuration_files name {name!r}, which is not beside it")
    return content.read_json(name)


def _names_of_config():
    """Attributes of every config that are not its values."""
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
            f"transformers {transformers.__version__} knows no model_type {short(model_type)}; "
            "code beside the model is never run"
        )
    if model_type in _FETCHING:
        raise ValueError(
            f"model_type {model_type!r} is refused: transformers would fetch a kernel for it, or "
            "import timm"
        )
    return known[model_type]


def _check_parts(config_class, asked):
    """Raise if a network within the network is of a kind that is not expected there."""
    for name, part_class in config_class.sub_configs.items():
        part = asked.get(name)
        if part_class is transformers.AutoConfig and isinstance(part, dict):
            model_type = part.get("model_type")
            if model_type not in (None, *_PARTS):
                raise ValueError(
                    f"model_type {short(model_type)} of {name} is refused; allowed are {_PARTS}"
                )


def _check_levit(asked):
    """Raise if LeViT would make lists of all pairs of pixels in Python."""
    side = asked.get("image_size", 224) // asked.get("patch_size", 16)
    if side > _LARGEST_LEVIT:
        raise ValueError(
            f"it claims maps of {side} x {side}; LeViT is read up to {_LARGEST_LEVIT} x "
            f"{_LARGEST_LEVIT}"
        )


def _check_made(config):
    """Raise if a config, however it was made, asks for a kernel or for quantized weights."""
    for name in ("_attn_implementation", "_experts_implementation", "quantization_config"):
        asked = getattr(config, name, None)
        if asked not in (None, "eager", "sdpa"):
            raise ValueError(f"{name}={short(asked)} of {type(config).__name__} is refused")
    for part in vars(config).values():
        if isinstance(part, transformers.PreTrainedConfig):
            _check_made(part)


def load_tokenizer(content, config):
    """The tokenizer of a model's folder; only its own files are read."""
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
        # some tokenizers look for the type of the model
        files["config.json"] = json.dumps({"model_type": config.model_type}).encode()
        with _private_folder(files) as folder:
            return transformers.AutoTokenizer.from_pretrained(
                folder, config=config, local_files_only=True, trust_remote_code=False
            )


def _check_tokenizer_class(name):
    """Raise if a name may be that of anything else in transformers, which it would find too."""
    backends = ("PythonBackend", "SentencePieceBackend")
    if not isinstance(name, str) or not ("Tokenizer" in name or name in backends):
        raise ValueError(f"tokenizer_class is {short(name)}; it must be the name of a tokenizer")
    if name.removesuffix("Fast") in _FOREIGN_TOKENIZERS:
        raise ValueError(f"tokenizer_class {name!r} is refused: it is not one of text encoders")


def read_weights(content, names):
    """The tensors of safetensors files."""
    state = {}
    for name in names:
        try:
            if content.data is None:
                state.update(safetensors.torch.load_file(Path(content.folder, name)))
            else:
                state.update(safetensors.torch.load(content.data[name]))
        # safetensors lets errors of its types and of torch through
        except Exception as error:
            raise ValueError(f"{content.name}: {name} is damaged: {error}") from error
    return state


def load_model(content, model_class, config, state, shapes, may_lack, kind):
    """The network of a config with its weights, in float32 on the CPU.

    Parameters
    ----------
    content : FolderContent
    model_class : type
        Of transformers.
    config : PreTrainedConfig
    state : dict of Tensor or None
        None: the weights are not set.
    shapes : dict of tuple of int
        Of the weights that the network must not be larger than.
    may_lack : callable
        Whether a tensor of this name may be missing in the weights, or be of another size.
    kind : str
        What the network is, for messages.

    Raises
    ------
    ValueError
        If the weights are not those of the network.
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
            f"{missing[0]!r}: config.json and the weights are of different models."
        )
    for name, held, claimed in sorted(report["mismatched_keys"]):
        if not may_lack(name):
            raise ValueError(
                f"{content.name}: its weights cannot be used: config.json claims {name!r} of shape "
                f"{tuple(claimed)}, the weights hold {tuple(held)}: they are of different models."
            )
    return model


def _without_costly_failure(model_class, may_lack):
    """The class, but it draws no values for tensors if the weights lack one that they must hold.

    Some values take Python loops: an error would come after minutes.
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
    """Stops this thread from making a network that is larger than its weights.

    transformers makes it without memory, and takes memory for what the weights lack.
    """

    def __init__(self, config, shapes):
        super().__init__()
        self.config = config
        self.held = sum(math.prod(shape) for shape in shapes.values())
        # fused tensors of a file may be several of the network; a pooler or head may be missing
        self.n_elements = 2 * self.held + 2**25
        self.n_tensors = 8 * len(shapes) + 256
        self.n_held = len(shapes)

    def __torch_function__(self, func, types, args=(), kwargs=None):
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
            f"the weights hold {self.n_held} tensors of {self.held} elements, config.json claims "
            f"{claim}: they are of different models"
        )


_MAKING = {
    *(torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange),
    *(torch.linspace, torch.eye, torch.tensor, torch.empty_strided),
}


@contextmanager
def _private_folder(files):
    """A folder with nothing but these files, given as dict of bytes by name."""
    with tempfile.TemporaryDirectory(prefix="sklearn_dl_") as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        yield folder


@contextmanager
def explained(content, what):
    """Whatever transformers raises about a model's files, as one error that names them."""
    try:
        yield
    # transformers lets errors of json, tokenizers, torch and its own through
    except BaseException as error:
        # what native code of tokenizers raises in a panic is not an Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = str(error) or repr(error)
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[:_LONGEST_REASON]}..."
        raise ValueError(f"{content.name}: its {what} cannot be used: {reason}") from error


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
