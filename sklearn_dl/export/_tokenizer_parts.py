"""What a graph must know of a tokenizer, which is refused if a graph cannot do the same."""

import json
from typing import NamedTuple

import tokenizers

# normalizers that turn each character into others without regard to its neighbours; NFD and NFKD
# also sort accents, see `sorts_accents`
_NORMALIZERS = {"BertNormalizer", "Lowercase", "NFD", "NFKD", "StripAccents"}
# pre-tokenizers that split texts by the kinds of single characters
_PRE_TOKENIZERS = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
# post-processors that put special tokens around the tokens of the texts
_POST_PROCESSORS = {"BertProcessing", "ByteLevel", "RobertaProcessing", "TemplateProcessing"}


class UnknownTokenizer(Exception):
    """A tokenizer does what a graph would not reproduce exactly. The message says what it is."""


class Segment(NamedTuple):
    """A part of a row of tokens: a special token, or the tokens of a text.

    Attributes
    ----------
    text : int or None
        Which text. None: a special token.
    id : int
        The special token; for a text, it has no meaning.
    type : int
        The token type of this part.
    """

    text: int | None
    id: int
    type: int


class TokenizerParts(NamedTuple):
    """A WordPiece tokenizer in parts.

    Attributes
    ----------
    normalizer : tokenizers.normalizers.Normalizer or None
    sorts_accents : bool
        Whether the normalizer may change the order of accents that follow each other.
    pre_tokenizer : tokenizers.pre_tokenizers.PreTokenizer
    pieces : dict of str to int
        The vocabulary.
    prefix : str
        What the pieces that continue a word begin with.
    unknown : int
        The token of a word that is not spelled by pieces.
    longest_word : int
        A word of more characters is unknown.
    special : dict of str to int
        Tokens that are found in the text before it is normalized.
    layouts : tuple of two lists of Segment
        The tokens of a single text and of a pair that is read together.
    """

    normalizer: tokenizers.normalizers.Normalizer | None
    sorts_accents: bool
    pre_tokenizer: tokenizers.pre_tokenizers.PreTokenizer
    pieces: dict[str, int]
    prefix: str
    unknown: int
    longest_word: int
    special: dict[str, int]
    layouts: tuple[list[Segment], list[Segment]]


def read_parts(tokenizer):
    """Take a tokenizer apart.

    Parameters
    ----------
    tokenizer : sklearn_dl.text._tokenizer.Tokenizer

    Returns
    -------
    parts : TokenizerParts

    Raises
    ------
    UnknownTokenizer
        If a graph cannot do what the tokenizer does. The message says what it is.
    """
    backend = tokenizer.backend
    if backend is None:
        raise UnknownTokenizer("it is written in Python")
    try:
        config = json.loads(backend.to_str())
    except Exception as error:  # tokenizers raises no narrower class
        raise UnknownTokenizer(f"a part of it is written in Python: {error}") from error
    model = config["model"]
    if model["type"] != "WordPiece":
        raise UnknownTokenizer(f"its model is {model['type']}, not WordPiece")
    if model["unk_token"] not in model["vocab"]:
        raise UnknownTokenizer(f"its token {model['unk_token']!r} for unknown words has no id")
    kinds = [step["type"] for step in _steps(config["normalizer"], "normalizers")]
    _check("normalizer", kinds, _NORMALIZERS)
    splits = [step["type"] for step in _steps(config["pre_tokenizer"], "pretokenizers")]
    _check("pre-tokenizer", splits, _PRE_TOKENIZERS)
    if len(splits) != 1:
        raise UnknownTokenizer(f"it has {len(splits)} pre-tokenizers instead of one")
    around = [step["type"] for step in _steps(config["post_processor"], "processors")]
    _check("post-processor", around, _POST_PROCESSORS)
    return TokenizerParts(
        backend.normalizer,
        any(map(_decomposes, _steps(config["normalizer"], "normalizers"))),
        backend.pre_tokenizer,
        model["vocab"],
        model["continuing_subword_prefix"],
        model["vocab"][model["unk_token"]],
        model["max_input_chars_per_word"],
        _special_tokens(config["added_tokens"], backend),
        _layouts(config, tokenizer.special),
    )


def _steps(part, name):
    """The steps of a part of the tokenizer: none, the part itself, or those of a Sequence."""
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    return [step for inner in part[name] for step in _steps(inner, name)]


def _check(part, kinds, allowed):
    for kind in kinds:
        if kind not in allowed:
            raise UnknownTokenizer(
                f"its {part} {kind} is not one of those that a graph can reproduce: "
                f"{', '.join(sorted(allowed))}"
            )


def _decomposes(normalizer):
    if normalizer["type"] == "BertNormalizer":
        strips = normalizer["strip_accents"]
        return normalizer["lowercase"] if strips is None else strips
    return normalizer["type"] in ("NFD", "NFKD")


def _special_tokens(added, backend):
    """The added tokens, by their contents."""
    if backend.encode_special_tokens:
        raise UnknownTokenizer("it reads special tokens in a text as text")
    contents = {token["content"] for token in added}
    beginnings = {content[:stop] for content in contents for stop in range(1, len(content) + 1)}
    for token in added:
        content = token["content"]
        for flag in ("normalized", "single_word"):
            if token[flag]:
                raise UnknownTokenizer(f"its added token {content!r} is marked as {flag}")
        for start in range(1, len(content)):
            parts = {content[start:stop] for stop in range(start + 1, len(content))}
            # in a text, it would matter which token is found first
            if content[start:] in beginnings or parts & contents:
                raise UnknownTokenizer(f"its added token {content!r} may overlap with another one")
    return {token["content"]: token["id"] for token in added}


def _layouts(config, special):
    """The Segments of single texts and of pairs, as the tokenizer itself lays out short ones."""
    # without truncation, and without most of the vocabulary, for speed
    added = {token["content"]: token["id"] for token in config["added_tokens"]}
    model = config["model"]
    unknown = {model["unk_token"]: model["vocab"][model["unk_token"]]}
    small = {"model": model | {"vocab": unknown | added}, "truncation": None, "padding": None}
    copied = tokenizers.Tokenizer.from_str(json.dumps(config | small))
    layouts = []
    for pair in (None, "x"):
        made = copied.encode("x", pair, add_special_tokens=special)
        tokens = zip(made.sequence_ids, made.ids, made.type_ids, strict=True)
        layout = [Segment(*token) for token in tokens]
        texts = sorted(segment.text for segment in layout if segment.text is not None)
        # if a text is read twice, only the last time counts as a text
        n_special = copied.num_special_tokens_to_add(pair is not None) if special else 0
        if texts != [0, 1][: 1 + (pair is not None)] or len(layout) != len(texts) + n_special:
            raise UnknownTokenizer("it does not read each text once")
        layouts.append(layout)
    return tuple(layouts)
