"""The parts that tokenizers of different kinds have in common.

A tokenizer is refused if a graph cannot reproduce it exactly.
"""

import json
from typing import NamedTuple

import tokenizers

# post-processors that put special tokens around the tokens of the texts
_POST_PROCESSORS = {"BertProcessing", "ByteLevel", "RobertaProcessing", "TemplateProcessing"}


class UnknownTokenizer(Exception):
    """A graph cannot reproduce a tokenizer exactly. The message states why."""


class Segment(NamedTuple):
    """A part of a row of tokens: a special token, or the tokens of a text.

    Attributes
    ----------
    text : int or None
        The number of the text. None: a special token.
    id : int
        The id of the special token. For a text, it has no meaning.
    type : int
        The token type of this part.
    """

    text: int | None
    id: int
    type: int


class SpecialToken(NamedTuple):
    """A token that is found in a text before the text is split.

    Attributes
    ----------
    content : str
    id : int
    lstrip, rstrip : bool
        Whether it includes the white space before it, and after it.
    """

    content: str
    id: int
    lstrip: bool
    rstrip: bool


class TokenizerParts(NamedTuple):
    """A tokenizer in parts.

    Attributes
    ----------
    backend : tokenizers.Tokenizer
    normalizers, pre_tokenizers : list of dict
        The steps, as tokenizer.json describes them.
    model : dict
        The model, as tokenizer.json describes it.
    special : list of SpecialToken
    layouts : list of two lists of Segment
        The tokens of a single text, and of a pair that is read together.
    """

    backend: tokenizers.Tokenizer
    normalizers: list[dict]
    pre_tokenizers: list[dict]
    model: dict
    special: list[SpecialToken]
    layouts: list[list[Segment]]


def read_parts(tokenizer):
    """Read the parts of a tokenizer.

    Parameters
    ----------
    tokenizer : sklearn_dl.text._tokenizer.Tokenizer

    Returns
    -------
    parts : TokenizerParts

    Raises
    ------
    UnknownTokenizer
        If a graph cannot do what a part of it does.
    """
    backend = tokenizer.backend
    if backend is None:
        raise UnknownTokenizer("it is written in Python")
    try:
        config = json.loads(backend.to_str())
    except Exception as error:  # tokenizers raises no narrower class
        raise UnknownTokenizer(f"a part of it is written in Python: {error}") from error
    if backend.encode_special_tokens:
        raise UnknownTokenizer("it does not recognize special tokens in texts")
    allow("post-processor", _steps(config["post_processor"], "processors"), _POST_PROCESSORS)
    return TokenizerParts(
        backend,
        _steps(config["normalizer"], "normalizers"),
        _steps(config["pre_tokenizer"], "pretokenizers"),
        config["model"],
        _special_tokens(config),
        _layouts(config, tokenizer.special),
    )


def _steps(part, name):
    """Return the steps of a part of a tokenizer: none, the part itself, or those of a Sequence."""
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    return [step for inner in part[name] for step in _steps(inner, name)]


def allow(part, steps, kinds):
    """Raise an UnknownTokenizer if a step is not of one of these kinds."""
    for step in steps:
        if step["type"] not in kinds:
            raise UnknownTokenizer(
                f"its {part} {step['type']} is not one of those that a graph can reproduce: "
                f"{', '.join(sorted(kinds)) or 'none'}"
            )


def only(part, steps, kinds):
    """Return the only step. Raise an UnknownTokenizer if it is not of one of these kinds."""
    allow(part, steps, kinds)
    if len(steps) != 1:
        raise UnknownTokenizer(f"it has {len(steps)} {part}s instead of one")
    return steps[0]


def _special_tokens(config):
    """Return the added tokens. Refuse them if the order in which they are found would matter."""
    added = config["added_tokens"]
    contents = {token["content"] for token in added}
    beginnings = {content[:stop] for content in contents for stop in range(1, len(content) + 1)}
    for token in added:
        content = token["content"]
        # without a normalizer, `normalized` has no effect
        if token["normalized"] and config["normalizer"] is not None:
            raise UnknownTokenizer(f"its added token {content!r} is marked as normalized")
        if token["single_word"]:
            raise UnknownTokenizer(f"its added token {content!r} is marked as single_word")
        for start in range(1, len(content)):
            inner = {content[start:stop] for stop in range(start + 1, len(content))}
            # the result would depend on which token is found first
            if content[start:] in beginnings or inner & contents:
                raise UnknownTokenizer(f"its added token {content!r} may overlap with another one")
    return [SpecialToken(*(token[name] for name in SpecialToken._fields)) for token in added]


def _layouts(config, special):
    """Return the Segments of single texts and of pairs, as the tokenizer lays out short texts."""
    # make a small tokenizer with the same post-processor, for which each text is one token
    added = {token["content"]: token["id"] for token in config["added_tokens"]}
    unknown = max(added.values(), default=0) + 1
    copied = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({**added, "unknown": unknown}, unk_token="unknown")
    )
    processor = {"post_processor": config["post_processor"]}
    copied = tokenizers.Tokenizer.from_str(json.dumps(json.loads(copied.to_str()) | processor))
    layouts = []
    for pair in (None, "x"):
        made = copied.encode("x", pair, add_special_tokens=special)
        tokens = zip(made.sequence_ids, made.ids, made.type_ids, strict=True)
        layout = [Segment(*token) for token in tokens]
        texts = sorted(segment.text for segment in layout if segment.text is not None)
        # if a text occurs twice, only the last occurrence has its number
        n_special = copied.num_special_tokens_to_add(pair is not None) if special else 0
        if texts != [0, 1][: 1 + (pair is not None)] or len(layout) != len(texts) + n_special:
            raise UnknownTokenizer("its post-processor does not use each text exactly once")
        layouts.append(layout)
    return layouts
