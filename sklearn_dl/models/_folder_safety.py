"""Check and clean the small files of a model's folder before transformers reads them.

transformers runs, downloads and imports what these files name. Therefore this module reads them
first, as JSON of limited size, and transformers gets cleaned copies. It imports neither torch nor
transformers.
"""

import json
import math
import re
from pathlib import PurePosixPath

from sklearn_dl.utils._lfs import refuse_pointer

# the largest published files are label lists of 1.5 MB, and vocabularies of 50 MB
LARGEST_JSON = 2**24
LARGEST_VOCABULARY = 2**27
# the safetensors library has the same limit
_LARGEST_HEADER = 100_000_000

# files that tokenizers read; their names are fixed in transformers' classes
_VOCABULARY_FILES = re.compile(
    r"(vocab|merges|dict|vocab-\w+|target_vocab|entity_vocab|word_shape|word_pronunciation|emoji"
    r"|byte_maps|normalizer|tekken|added_tokens|tokenizer(\.[\w.]+)?)\.(txt|json)"
    r"|[\w.-]+\.model|bpe\.codes|prophetnet\.tokenizer"
)

_HOW_TO_COMPUTE = ("attn_implementation", "_attn_implementation")
# keys for the origin of a config or the way to compute; results do not depend on them
_DROPPED_FROM_CONFIG = {
    *("auto_map", "custom_pipelines", "name_or_path", "transformers_version", "gguf_file"),
    *("dtype", "torch_dtype", "use_kernels", "kernel_config", "experts_implementation"),
    *("fusion_config", "distributed_config", "transformers_weights", "configuration_files"),
    *("return_dict", "output_hidden_states", "output_attentions"),
}
_REFUSED_IN_CONFIG = {
    **dict.fromkeys(
        ("quantization_config", "compression_config"),
        "for quantized weights, transformers imports other packages; pass the folder of the "
        "model without quantization",
    ),
    **dict.fromkeys(
        ("backbone", "use_timm_backbone", "use_pretrained_backbone", "backbone_kwargs"),
        "transformers would download another network or import timm; pass the folder of a "
        "complete network",
    ),
}
_LABELS = ("id2label", "label2id")
_COUNTS = re.compile(r"(layers?|blocks?|stages?|depths?|heads?|experts?|groups?|repeats?|levels?)$")
# building this number of the smallest layers takes less than a second
_COUNT_WITHOUT_WEIGHTS = 1024
_LABELS_WITHOUT_WEIGHTS = 2**16

# arguments of tokenizers that choose files, code or downloads; vocabularies come from files only
_DROPPED_FROM_TOKENIZER = {
    *("auto_map", "trust_remote_code", "chat_template", "name_or_path", "gguf_file", "config"),
    *("vocab", "merges", "tokenizer", "tokenizer_object", "post_processor", "tokenizer_padding"),
    *("tokenizer_truncation", "subfolder", "revision", "code_revision", "cache_dir", "proxies"),
    *(
        "token",
        "local_files_only",
        "is_local",
        "force_download",
        "user_agent",
        "transformers_version",
    ),
}
_PATH = re.compile(r"_(file|files|path|paths|dir|directory)$")
# options of SentencePiece and of BertJapaneseTokenizer's dictionaries that do not name files
_ALLOWED_OPTIONS = {
    "sp_model_kwargs": ("enable_sampling", "nbest_size", "alpha", "add_bos", "add_eos", "reverse"),
    "mecab_kwargs": ("do_lower_case", "never_split", "normalize_text", "mecab_dic"),
    "sudachi_kwargs": (
        *("do_lower_case", "never_split", "normalize_text", "trim_whitespace"),
        *("sudachi_split_mode", "sudachi_dict_type"),
    ),
    "jumanpp_kwargs": ("do_lower_case", "never_split", "normalize_text", "trim_whitespace"),
}
_LARGEST_TOKEN = 2**21


def parse_json(data, name, kind=dict):
    """Parse the JSON of a small file.

    Parameters
    ----------
    data : bytes
        Content of the file.
    name : str
        Name of the file in messages.
    kind : type, default=dict
        What the file must contain: a dict or a list.

    Raises
    ------
    ValueError
        If the file is too large, is not JSON, is nested too deeply or does not contain a `kind`.
    """
    if len(data) > LARGEST_JSON:
        raise ValueError(f"{name} is larger than {LARGEST_JSON // 2**20} MB, which is the limit.")
    refuse_pointer(data, name)
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON, or is damaged: {error}") from error
    if not isinstance(parsed, kind):
        wanted = "an object" if kind is dict else "a list"
        raise ValueError(f"{name} holds {short(parsed)}; it must hold {wanted}.")
    return parsed


def tensor_shapes(content):
    """Read the shapes of all tensors of a folder's weights from the headers of the files.

    Parameters
    ----------
    content : FolderContent

    Returns
    -------
    shapes : dict of tuple of int
        Shapes by name of the tensor; empty if the content has no weights.

    Raises
    ------
    ValueError
        If a header is damaged or claims more than its file contains, or if two files contain the
        same tensor.
    """
    shapes: dict = {}
    for name in content.weights():
        try:
            found = _header_shapes(content, name)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{content.name}: {name} is damaged: {error}") from error
        twice = shapes.keys() & found.keys()
        if twice:
            raise ValueError(
                f"{content.name}: {name} holds {short(min(twice))}, which another file holds too; "
                "each tensor must be in one file only."
            )
        shapes |= found
    return shapes


def _header_shapes(content, name):
    """Read the shapes of the tensors of one file; check that the file can hold them."""
    with content.open(name) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LARGEST_HEADER:
            raise ValueError(f"its header claims {length} bytes")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    shapes, n_bytes = {}, 0
    for tensor, entry in header.items():
        shape = tuple(entry["shape"])
        start, end = entry["data_offsets"]
        if not all(type(size) is int and size >= 0 for size in (*shape, start, end)):
            raise ValueError(f"{short(tensor)} has the shape {short(shape)}")
        # the smallest type has two elements in a byte
        if math.prod(shape) > 2 * (end - start):
            raise ValueError(f"{short(tensor)} of shape {short(shape)} has {end - start} bytes")
        shapes[tensor] = shape
        n_bytes += end - start
    n_held = content.size(name) - 8 - length
    if n_bytes > n_held:
        raise ValueError(
            f"its header claims {n_bytes} bytes of tensors, but the file holds {n_held}"
        )
    return shapes


def clean_config(asked, shapes, reserved):
    """Return a copy of a config without keys that transformers must not get.

    Parameters
    ----------
    asked : dict
        The content of config.json.
    shapes : dict of tuple
        Shapes of the weights; counts of layers, heads and labels are compared with them.
    reserved : set of str
        Names of methods and other attributes that a config must not replace.

    Raises
    ------
    ValueError
        If transformers would download or import something for it, or if it claims sizes that the
        weights do not have.
    """
    limits = _Limits(shapes)
    return dict(_clean(asked, limits, reserved))


def _clean(asked, limits, reserved):
    """Yield each key that transformers may get, with its value."""
    for key, value in asked.items():
        if key in _REFUSED_IN_CONFIG and value:
            raise ValueError(f"{key} is refused: {_REFUSED_IN_CONFIG[key]}.")
        if key in _HOW_TO_COMPUTE and value in ("eager", "sdpa"):
            yield key, value
        elif not (
            key.startswith("_")
            or key in _DROPPED_FROM_CONFIG
            or key in _REFUSED_IN_CONFIG
            or key in _HOW_TO_COMPUTE
            or key in reserved
        ):
            limits.check(key, value)
            # the keys inside are labels or their numbers, not settings
            yield key, value if key in _LABELS else _clean_value(value, limits, reserved)


def _clean_value(value, limits, reserved):
    if isinstance(value, dict):
        return dict(_clean(value, limits, reserved))
    if isinstance(value, list):
        return [_clean_value(part, limits, reserved) for part in value]
    return value


class _Limits:
    """The largest numbers that a config may contain for weights of these shapes."""

    def __init__(self, shapes):
        held = f"the weights hold {len(shapes)} tensors"
        self.reason = held if shapes else "no model is that large"
        self.count = max(len(shapes), _COUNT_WITHOUT_WEIGHTS)
        sizes = [max(shape, default=0) for shape in shapes.values() if math.prod(shape)]
        self.labels = max([_LABELS_WITHOUT_WEIGHTS, *sizes])

    def check(self, key, value):
        numbers = [n for n in _numbers(value) if type(n) is int]
        limit = 2**63 - 1
        if _COUNTS.search(key):
            limit = self.count
            numbers.append(sum(n for n in numbers if n > 0))
        elif key == "num_labels":
            limit = self.labels
        if any(abs(n) > limit for n in numbers):
            raise ValueError(
                f"it claims {key}={short(value)}, but {self.reason}; config.json and the weights "
                "must belong to the same model."
            )


def _numbers(value):
    """Yield a value, or the values inside nested lists."""
    if isinstance(value, list):
        for part in value:
            yield from _numbers(part)
    else:
        yield value


def clean_tokenizer_config(asked, names):
    """Return a copy of tokenizer_config.json without keys that name files, code or downloads.

    Parameters
    ----------
    asked : dict
        The content of the file.
    names : list of str
        The files of the folder.

    Raises
    ------
    ValueError
        If a setting is refused.
    """
    if asked.get("init_inputs"):
        raise ValueError(
            "init_inputs of tokenizer_config.json is refused: remove this key from the file."
        )
    cleaned = {}
    for key, value in asked.items():
        if key in _ALLOWED_OPTIONS and value:
            others = sorted(set(value) - set(_ALLOWED_OPTIONS[key]))
            if others:
                raise ValueError(
                    f"{key} of tokenizer_config.json asks for {others[0]!r}; the allowed "
                    f"values are {_ALLOWED_OPTIONS[key]}."
                )
        if key == "fast_tokenizer_files":
            if not all(file in names and "/" not in file for file in value):
                raise ValueError(
                    f"fast_tokenizer_files of tokenizer_config.json names {short(value)}; "
                    "these must be files in the same folder."
                )
        elif key.startswith("_") or key in _DROPPED_FROM_TOKENIZER or _PATH.search(key):
            continue
        cleaned[key] = value
    for number in cleaned.get("added_tokens_decoder") or ():
        if not 0 <= int(number) < _LARGEST_TOKEN:
            raise ValueError(
                "added_tokens_decoder of tokenizer_config.json has the token number "
                f"{short(number)}; it must be from 0 to {_LARGEST_TOKEN - 1}."
            )
    return cleaned


def clean_special_tokens(asked):
    """Return a copy of special_tokens_map.json with the special tokens only."""
    return {
        key: value
        for key, value in asked.items()
        if key.endswith(("_token", "_tokens")) and key not in _DROPPED_FROM_TOKENIZER
    }


def vocabulary_files(content):
    """Read the files from which a tokenizer is made, as dict of bytes by name.

    Raises
    ------
    ValueError
        If a file is too large.
    """
    files = {}
    for name in content.tokenizer_names():
        if _VOCABULARY_FILES.fullmatch(name) and name != "tokenizer_config.json":
            if content.size(name) > LARGEST_VOCABULARY:
                raise ValueError(f"{name} is larger than {LARGEST_VOCABULARY // 2**20} MB")
            files[name] = content.read(name)
    return files


def part_file(path, file, names):
    """Return the name of a module's file; `path` is the folder that modules.json states.

    Raises
    ------
    ValueError
        If the file is not among `names`, the files of the model's folder.
    """
    name = None
    if isinstance(path, str) and "\\" not in path:
        name = PurePosixPath(path, file).as_posix()
    if name not in names:
        raise ValueError(
            f"it names the path {short(path)}; a path must lead to a folder directly inside the "
            f"model's folder, and this folder must contain {file}"
        )
    return name


def short(value):
    """Return a `repr` of at most 80 characters, so that a file cannot make messages long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of too many digits
        return f"a number of {value.bit_length()} bits"
    return text if len(text) <= 80 else f"{text[:77]}..."
