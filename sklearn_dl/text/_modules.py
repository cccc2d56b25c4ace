"""The modules of a sentence-transformers folder: prompt, encoder, pooling and further layers."""

from pathlib import PurePosixPath
from typing import NamedTuple

from sklearn_dl.models._folder_safety import part_file, short

POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
# their names in older folders; the results of several poolings are put side by side in this order
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ENCODERS = ("Transformer", "StaticEmbedding")
_LAYERS = ("Dense", "LayerNorm")
# the encoder's own settings are in one of these files
_TRANSFORMER_CONFIGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# arguments of transformers that do not change embeddings, or that the encoder's files determine
_HARMLESS = {
    *("add_pooling_layer", "attn_implementation", "cache_dir", "dtype", "local_files_only"),
    *("model_max_length", "padding_side", "revision", "token", "torch_dtype", "trust_remote_code"),
    *("unpad_inputs", "use_fast", "use_memory_efficient_attention", "truncation_side"),
}
_ARGUMENTS = tuple(
    f"{what}_{kind}"
    for what in ("model", "tokenizer", "processor", "config")
    for kind in ("args", "kwargs")
)
# the only values of these settings that are supported
_SUPPORTED = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
}


class Modules(NamedTuple):
    """The modules of an encoder.

    Attributes
    ----------
    static : str or None
        Folder of the static embedding inside the model's folder. None: the encoder is a
        transformer.
    pooling : tuple of str
        Some of `POOLINGS`. Their results are put side by side.
    layers : tuple of (kind, path, config)
        The layers after the pooling, in their order: `Dense`, `LayerNorm` and `Normalize`. They do
        not contain a `Normalize` at the end.
    normalize : bool
        Whether there is a `Normalize` at the end, which scales embeddings to length 1.
    prompt : str
        Text that is put before each text.
    lower_case : bool
        Whether the tokenizer turns texts into lower case.
    """

    static: str | None = None
    pooling: tuple = ("mean",)
    layers: tuple = ()
    normalize: bool = False
    prompt: str = ""
    lower_case: bool = False


def read_modules(content):
    """Read the Modules of a model's folder.

    If the folder has no ``modules.json``, the encoder is a transformer, and an embedding is the
    mean over the tokens.

    Raises
    ------
    ValueError
        If the files ask for anything that is not supported.
    """
    names = content.names()
    if "modules.json" not in names:
        return Modules()
    modules = [_kind_and_path(module) for module in content.read_json("modules.json", list)]
    kind, path = modules[0] if modules else (None, "")
    if kind not in _ENCODERS:
        raise ValueError(f"its first module is {short(kind)}; it must be one of {_ENCODERS}")
    prompt, lower_case, static, pooling = _prompt(content, names), False, None, ("mean",)
    if kind == "StaticEmbedding":
        static = path
    elif path:
        raise ValueError(f"the module {kind!r} must lie in the folder itself, not in {short(path)}")
    else:
        lower_case = _lower_case(content, names)
    layers = []
    for position, (kind, path) in enumerate(modules[1:], 1):
        if kind == "Pooling" and position == 1 and static is None:
            pooling = _pooling(content.read_json(part_file(path, "config.json", names)), prompt)
        elif kind in _LAYERS:
            layers.append((kind, path, content.read_json(part_file(path, "config.json", names))))
            _check_names(layers[-1][2])
        elif kind == "Normalize":
            if f"{path}/config.json" in names:
                _check_names(content.read_json(part_file(path, "config.json", names)))
            layers.append((kind, path, {}))
        elif kind != "Dropout":
            raise ValueError(f"a module {kind!r} in {short(path)} is not supported here")
    normalize = bool(layers) and layers[-1][0] == "Normalize"
    other_layers = tuple(layers[:-1] if normalize else layers)
    return Modules(static, pooling, other_layers, normalize, prompt, lower_case)


def _kind_and_path(module):
    kind = module["type"]
    if "." in kind and not kind.startswith("sentence_transformers."):
        raise ValueError(
            f"a module {short(kind)} is not supported: code in the folder is never run"
        )
    path = module["path"]
    if not isinstance(path, str):
        raise ValueError(f"it names the path {short(path)}, which is not a string")
    path = PurePosixPath(path).as_posix()
    return kind.rpartition(".")[2], "" if path == "." else path


def _prompt(content, names):
    """The default prompt, which `encode` puts before each text."""
    name = "config_sentence_transformers.json"
    if name not in names:
        return ""
    asked = content.read_json(name)
    if asked.get("truncate_dim") is not None:
        raise ValueError(
            f"truncate_dim={short(asked['truncate_dim'])} in {name} is not supported: remove it"
        )
    default = asked.get("default_prompt_name")
    if default is None:
        return ""
    # sentence-transformers always knows these two
    prompts = {"query": "", "document": "", **(asked.get("prompts") or {})}
    if default not in prompts:
        raise ValueError(
            f"{name} names the default prompt {short(default)}, but its prompts are "
            f"{short(sorted(prompts))}"
        )
    prompt = prompts[default] or ""
    if not isinstance(prompt, str):
        raise ValueError(f"{name} has the prompt {short(prompt)}; it must be a string")
    return prompt


def _lower_case(content, names):
    """Return whether a transformer's tokenizer turns texts into lower case.

    Raise an error if the file has other settings that would change the embeddings.
    """
    name = next((name for name in _TRANSFORMER_CONFIGS if name in names), None)
    if name is None:
        return False
    asked = content.read_json(name)
    for key, wanted in _SUPPORTED.items():
        if asked.get(key, wanted) != wanted:
            raise ValueError(f"{name} asks for {key}={short(asked[key])}; it must be {wanted!r}")
    text = (asked.get("modality_config") or {}).get("text") or {}
    output = text.get("method_output_name", "last_hidden_state")
    method = text.get("method", "forward")
    if method != "forward" or output != "last_hidden_state":
        raise ValueError(
            f"{name} asks for {short(output)} from the method {short(method)}; it must be "
            "'last_hidden_state' from 'forward'"
        )
    for key in _ARGUMENTS:
        others = sorted(set(asked.get(key) or {}) - _HARMLESS)
        if others:
            raise ValueError(f"{name} asks for {short(others[0])} in {key}, which is not supported")
    return bool(asked.get("do_lower_case"))


def _pooling(config, prompt):
    """The modes of a pooling with these settings, as a tuple of names in `POOLINGS`."""
    if prompt and not config.get("include_prompt", True):
        raise ValueError(
            "include_prompt=False is not supported: the default prompt's tokens are also pooled"
        )
    asked = config.get("pooling_mode")
    if asked is None:
        asked = [mode for flag, mode in _FLAGS.items() if config.get(flag)] or "mean"
    modes = (asked,) if isinstance(asked, str) else tuple(asked)
    if not modes or not all(mode in POOLINGS for mode in modes):
        raise ValueError(f"the pooling is {short(asked)}; it must be one or more of {POOLINGS}")
    unknown = sorted(
        key
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value is True and key not in _FLAGS
    )
    if unknown:
        raise ValueError(f"the pooling is {unknown[0]}; it must be one or more of {POOLINGS}")
    return modes


def _check_names(config):
    """Raise an error if a module reads or writes anything other than the embedding of a text."""
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise ValueError(
                f"a module's {key}={short(config[key])} is not supported; it must be "
                "'sentence_embedding'"
            )
