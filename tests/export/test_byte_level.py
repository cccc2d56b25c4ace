from itertools import product

import numpy as np
import pytest
import tokenizers
import transformers

from sklearn_dl.export.tokens._tokens import UnknownTokenizer
from sklearn_dl.text._tokenizer import Tokenizer
from tests.export.tokenized import HARD, assert_same_tokens, model_of, session_of
from tests.text.tiny_encoders import WORDS

ASSIGNED = [text for text in HARD if max(map(ord, text), default=0) < 0x40000]
# apostrophes, white space, kinds of characters
TYPED = ["".join(letters) for letters in product("'sl e!\n", repeat=4)]
PARTS = [*"'stremvld", "'ll", "'re", "   ", "\n\t", "\u3000", "\u00b2", "\u0663", "a", "\u4e2d"]


def byte_level(**parts):
    """A tokenizer like RoBERTa's, whose special tokens take white space."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [f"{a} {b}s, {a}{b} it's you'll" for a in WORDS for b in WORDS]
    backend.train_from_iterator([*texts, *HARD], trainer)
    mask = transformers.AddedToken("<mask>", lstrip=True, special=True, normalized=False)
    # whether it is normalized does not matter without a normalizer
    behind = transformers.AddedToken("<sep>", rstrip=True, normalized="normalizer" not in parts)
    backend.add_tokens([mask, behind])
    backend.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    for name, part in parts.items():
        setattr(backend, name, part)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>")


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(byte_level(), 14, prompt="it'")


@pytest.fixture(scope="module")
def session(tokenizer):
    return session_of(tokenizer, "utf8")


@pytest.mark.slow
def test_each_text_has_the_tokens_of_the_tokenizer(tokenizer, session):
    random = np.random.default_rng(0)
    parts = [*PARTS, *HARD, *WORDS, "<mask>", "<sep>", "</s>", " <mask> ", "  <sep>  "]
    mixed = ["".join(random.choice(parts, random.integers(9))) for _ in range(2000)]
    assert_same_tokens(tokenizer, session, [*HARD, *TYPED, *mixed])
    assert_same_tokens(tokenizer, session, ["", ""])
    (ids, *_) = session.run(None, {"text_0": np.zeros((0, 3), dtype=np.uint8)})
    assert len(ids) == 0


@pytest.mark.slow
@pytest.mark.parametrize("form", ["string", "utf8"])
def test_pairs(tokenizer, form):
    texts = ASSIGNED if form == "string" else HARD
    long = ["it's  " * 99, "a" * 99, " " * 999, "\n's" * 200]
    firsts, seconds = zip(*product([*texts, *TYPED[::97], *long], repeat=2), strict=True)
    assert_same_tokens(tokenizer, session_of(tokenizer, form, 2), firsts, seconds)


def _with_model(**options):
    tokenizer = byte_level()
    for name, option in options.items():
        setattr(tokenizer.backend_tokenizer.model, name, option)
    return tokenizer


def _without_a_byte():
    vocabulary = byte_level().get_vocab()
    del vocabulary["!"]
    return byte_level(model=tokenizers.models.BPE(vocabulary, []))


REFUSED = {
    "its normalizer NFC is not one of those that a graph can reproduce: none": lambda: byte_level(
        normalizer=tokenizers.normalizers.NFC()
    ),
    "its pre-tokenizer Whitespace is not": lambda: byte_level(
        pre_tokenizer=tokenizers.pre_tokenizers.Whitespace()
    ),
    "its pre-tokenizer has add_prefix_space=True": lambda: byte_level(
        pre_tokenizer=tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    ),
    "its pre-tokenizer has use_regex=False": lambda: byte_level(
        pre_tokenizer=tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    ),
    r"its model has dropout=0\.5": lambda: _with_model(dropout=0.5),
    "its model has end_of_word_suffix='z'": lambda: _with_model(end_of_word_suffix="z"),
    "its vocabulary has no token for the byte 33": _without_a_byte,
}


@pytest.mark.slow
@pytest.mark.parametrize("why", REFUSED)
def test_other_tokenizers_are_refused(why):
    with pytest.raises(UnknownTokenizer, match=why):
        model_of(Tokenizer(REFUSED[why](), 12), "string")
