"""What a sentence-transformers folder says about an encoder: prompt, pooling, what follows it."""

from pathlib import PurePosixPath
from typing import NamedTuple

from sklearn_dl.models._folder_safety import part_file, short

POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
# as folders of older versions name them, in the order in which several stand beside each other
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
# the encoder's own settings: one of these files
_TRANSFORMER_CONFIGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# arguments of transformers that change nothing, or that an encoder's own files say better
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
_TEXTS_TO_TOKENS = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
}


class Modules(NamedTuple):
    """The modules of an encoder.

    Attributes
    ----------
    static : str or None
        The folder of a static embedding inside the model's; None: the encoder is a transformer.
    pooling : tuple of str
        Some of `POOLINGS`, whose vectors stand beside each other.
    layers : tuple of (kind, path, config)
        Of `Dense`, `LayerNorm` and `Normalize`, in their order.
    normalize : bool
        Whether embeddings have length 1 at the end.
    prompt : str
        Comes before each text.
    lower_case : bool
        Whether the tokenizer reads texts in lower case.
    """

    static: str | None = None
    pooling: tuple = ("mean",)
    layers: tuple = ()
    normalize: bool = False
    prompt: str = ""
    lower_case: bool = False


def read_modules(content):
    """The Modules of a model's folder; without sentence-transformers' files, the mean of tokens.

    Raises
    ------
    ValueError
        If the files ask for anything else.
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
    behind = tuple(layers[:-1] if normalize else layers)
    return Modules(static, pooling, behind, normalize, prompt, lower_case)


def _kind_and_path(module):
    kind = module["type"]
    if "." in kind and not kind.startswith("sentence_transformers."):
        raise ValueError(f"a module {short(kind)} is not supported: code beside it is never run")
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
        raise ValueError(f"truncate_dim={short(asked['truncate_dim'])} is not supported: remove it")
    default = asked.get("default_prompt_name")
    if default is None:
        return ""
    # sentence-transformers knows these two without being told
    prompts = {"query": "", "document": "", **(asked.get("prompts") or {})}
    if default not in prompts:
        raise ValueError(
            f"{name} names the default prompt {short(default)}; its prompts are "
            f"{short(sorted(prompts))}"
        )
    prompt = prompts[default] or ""
    if not isinstance(prompt, str):
        raise ValueError(f"{name} has the prompt {short(prompt)}; it must be a string")
    return prompt


def _lower_case(content, names):
    """Whether a transformer's tokenizer reads lower case; what else would change its vectors."""
    name = next((name for name in _TRANSFORMER_CONFIGS if name in names), None)
    if name is None:
        return False
    asked = content.read_json(name)
    for key, wanted in _TEXTS_TO_TOKENS.items():
        if asked.get(key, wanted) != wanted:
            raise ValueError(f"{name} asks for {key}={short(asked[key])}; it must be {wanted!r}")
    text = (asked.get("modality_config") or {}).get("text") or {}
    output = text.get("method_output_name", "last_hidden_state")
    if text.get("method", "forward") != "forward" or output != "last_hidden_state":
        raise ValueError(f"{name} reads {short(output)} of texts; it must be last_hidden_state")
    for key in _ARGUMENTS:
        others = sorted(set(asked.get(key) or {}) - _HARMLESS)
        if others:
            raise ValueError(f"{name} asks for {short(others[0])} in {key}, which is not supported")
    return bool(asked.get("do_lower_case"))


def _pooling(config, prompt):
    if prompt and not config.get("include_prompt", True):
        raise ValueError("pooling without the tokens of the default prompt is not supported")
    asked = config.get("pooling_mode")
    if asked is None:
        asked = [mode for flag, mode in _FLAGS.items() if config.get(flag)] or "mean"
    modes = (asked,) if isinstance(asked, str) else tuple(asked)
    if not modes or not all(mode in POOLINGS for mode in modes):
        raise ValueError(f"the pooling is {short(asked)}; it must be one or some of {POOLINGS}")
    unknown = sorted(
        key
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value is True and key not in _FLAGS
    )
    if unknown:
        raise ValueError(f"the pooling is {unknown[0]}; it must be one or some of {POOLINGS}")
    return modes


def _check_names(config):
    """Raise if a module reads or writes anything but the vector of a text."""
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise ValueError(f"a module's {key}={short(config[key])} is not supported")
