"""Graphs tokenize texts like the tokenizers from which they are made."""

import numpy as np
import onnxruntime
import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_dl.export._graph import Graph
from sklearn_dl.export.tokens._token_rows import cut_pair
from sklearn_dl.export.tokens._tokens import UnknownTokenizer
from sklearn_dl.export.tokens._unicode import ALIKE, CHARACTERS
from sklearn_dl.models._folder import find_folder
from sklearn_dl.text._fitted_text_network import FittedTextNetwork
from sklearn_dl.text._text_network import _read_lower_case
from sklearn_dl.text._tokenizer import Tokenizer
from tests.export.tokenized import HARD, assert_same_tokens, model_of, session_of
from tests.text.tiny_encoders import KINDS, VOCABULARY


@pytest.fixture(scope="module")
def tiny():
    return KINDS["bert"][2]


@pytest.fixture(scope="module")
def from_strings(tiny):
    """A tokenizer with a prompt, and its session."""
    tokenizer = Tokenizer(tiny(), 16, prompt="the \u00c9 [SEP")
    return tokenizer, session_of(tokenizer, "string")


@pytest.fixture(scope="module")
def from_bytes_of_pairs(tiny):
    tokenizer = Tokenizer(tiny(), 13, prompt="not for pairs")
    return tokenizer, session_of(tokenizer, "utf8", 2)


@pytest.mark.slow
def test_strings_with_a_prompt(from_strings):
    assert_same_tokens(*from_strings, HARD)
    for text in HARD:
        assert_same_tokens(*from_strings, [text])


@pytest.mark.slow
def test_pairs_of_bytes(from_bytes_of_pairs):
    firsts, seconds = zip(*((a, b) for a in HARD for b in HARD), strict=True)
    assert_same_tokens(*from_bytes_of_pairs, firsts, seconds)
    # NUL is a character, but at the end of a text
    assert_same_tokens(*from_bytes_of_pairs, ["goo\0d", "\0", ""], ["\0\0a", "b\0", "\0"])


@pytest.mark.slow
def test_long_texts_of_pairs_are_shortened_first(from_bytes_of_pairs):
    tokenizer, _ = from_bytes_of_pairs
    n = tokenizer.n_whole_characters
    words = ["goodfilm ", "a " * 11 + "goodfilm", "a" * 99 + " ", "[SEP]", " ", "\0", "\u00e9b"]
    long = [(word * n)[:size] for word in words for size in (n, n + 1, 2 * n)]
    random = np.random.default_rng(0)
    firsts, seconds = (random.choice([*long, "", "good film"], 60) for _ in range(2))
    assert_same_tokens(*from_bytes_of_pairs, firsts, seconds)


@pytest.mark.slow
def test_a_run_without_rows(from_strings, from_bytes_of_pairs):
    (_, single), (_, pairs) = from_strings, from_bytes_of_pairs
    for array in single.run(None, {"text_0": np.empty((0, 1), dtype=object)}):
        assert array.shape[0] == 0
    for n_bytes in (0, 3):
        nothing = np.zeros((0, n_bytes), dtype=np.uint8)
        for array in pairs.run(None, {"text_0": nothing, "text_1": nothing}):
            assert array.shape[0] == 0


def test_bytes_that_are_not_utf8_do_not_fail(from_bytes_of_pairs):
    _, session = from_bytes_of_pairs
    noise = np.random.default_rng(0).integers(0, 256, (50, 40), dtype=np.uint8)
    ids, _, _ = session.run(None, {"text_0": noise, "text_1": noise[::-1, 7:]})
    assert ids.shape[0] == 50


@pytest.mark.slow
def test_two_graphs_are_the_same_bytes(tiny):
    first, second = (model_of(Tokenizer(tiny(), 8), "string") for _ in range(2))
    assert first.SerializeToString() == second.SerializeToString()


@pytest.mark.slow
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 20))
@settings(max_examples=200)
def test_pairs_are_cut_as_tokenizers_cuts_them(n_first, n_second, room):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece({"a": 0}, unk_token="a"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_truncation(room, strategy="longest_first")
    cut = tokenizer.encode("a " * n_first, "a " * n_second).sequence_ids
    graph = Graph(18)
    counts = [graph.input(name, np.int64, (1,)) for name in ("first", "second")]
    for name, value in zip(("a", "b"), cut_pair(graph, *counts, room), strict=True):
        graph.output(name, value, np.int64, (1,))
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    numbers = {"first": np.array([n_first]), "second": np.array([n_second])}
    assert [n for (n,) in session.run(None, numbers)] == [cut.count(0), cut.count(1)]


def _lower_case(tokenizer):
    _read_lower_case(tokenizer)
    return tokenizer


def _bert(words=(), **options):
    vocabulary = {token: number for number, token in enumerate([*VOCABULARY, *words])}
    return transformers.BertTokenizerFast(vocab=vocabulary, **options)


def _with(**parts):
    """A WordPiece tokenizer with these parts."""
    backend = _bert(["n\u00e9e", "\u0323", "=", "=="]).backend_tokenizer
    for name, part in parts.items():
        setattr(backend, name, part)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")


OTHERS = {
    "cased": lambda: _bert(["Good", "##OD", "n\u00e9e"], do_lower_case=False),
    "cased, after lower case": lambda: _lower_case(_bert(["n\u00e9e"], do_lower_case=False)),
    "with accents": lambda: _bert(["n\u00e9e", "e\u0301"], strip_accents=False),
    "Chinese words": lambda: _bert(["\u4e2d", "\u4e2d\u6587"], tokenize_chinese_chars=False),
    "Chinese": lambda: _bert(["\u4e2d", "##\u4e2d"]),
    "Korean": lambda: _bert(["\u1112\u1161\u11ab", "##\u1100", "##\u116e\u11a8"]),
    "RoBERTa's special tokens": KINDS["mpnet"][2],
    "runs of punctuation": KINDS["modernbert"][2],
    "words between spaces": lambda: _with(
        normalizer=tokenizers.normalizers.Sequence(
            [tokenizers.normalizers.NFKD(), tokenizers.normalizers.StripAccents()]
        ),
        pre_tokenizer=tokenizers.pre_tokenizers.WhitespaceSplit(),
        post_processor=None,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("n_texts", [1, 2])
@pytest.mark.parametrize("kind", OTHERS)
def test_other_tokenizers(kind, n_texts):
    tokenizer = Tokenizer(OTHERS[kind](), 12)
    firsts, seconds = zip(*((a, b) for a in HARD for b in HARD), strict=True)
    for form in ("string", "utf8"):
        assert_same_tokens(
            tokenizer, session_of(tokenizer, form, n_texts), *(firsts, seconds)[:n_texts]
        )


@pytest.mark.slow
def test_without_special_tokens(tiny):
    tokenizer = Tokenizer(tiny(), 12, special=False)
    session = session_of(tokenizer, "string")
    assert_same_tokens(tokenizer, session, HARD)
    # no token at all
    assert_same_tokens(tokenizer, session, ["", " "])


def _added(content, **flags):
    tokenizer = _bert()
    tokenizer.add_tokens([transformers.AddedToken(content, normalized=False, **flags)])
    return tokenizer


NFC = tokenizers.normalizers.NFC()
NFD = tokenizers.normalizers.NFD()
DIGITS = tokenizers.pre_tokenizers.Digits()
SPACES = tokenizers.pre_tokenizers.WhitespaceSplit()
REFUSED = {
    "its model Unigram is not one of WordPiece, BPE": KINDS["xlm-roberta"][2],
    "its normalizer NFC is not": lambda: _with(normalizer=NFC),
    "its pre-tokenizer Digits is not": lambda: _with(pre_tokenizer=DIGITS),
    "it has 0 pre-tokenizers": lambda: _with(pre_tokenizer=None),
    "it has 2 pre-tokenizers": lambda: _with(
        pre_tokenizer=tokenizers.pre_tokenizers.Sequence([SPACES, SPACES])
    ),
    r"sorts accents, and '\u0323' is in": lambda: _with(normalizer=NFD, pre_tokenizer=SPACES),
    "its post-processor does not use each text exactly once": lambda: _with(
        post_processor=tokenizers.processors.TemplateProcessing("$A $A", "$A $B", [])
    ),
    r"'\[A\]' is marked as single_word": lambda: _added("[A]", single_word=True),
    "'aba' may overlap": lambda: _added("aba"),
    r"'\[\[SEP\]\]' may overlap": lambda: _added("[[SEP]]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("why", REFUSED)
def test_other_tokenizers_are_refused(why):
    with pytest.raises(UnknownTokenizer, match=why):
        model_of(Tokenizer(REFUSED[why](), 12), "string", 2)


def test_a_tokenizer_written_in_python_is_refused(tiny):
    tokenizer = Tokenizer(tiny(), 12)
    tokenizer.backend = None
    with pytest.raises(UnknownTokenizer, match="it is written in Python"):
        model_of(tokenizer, "string")


def test_a_pre_tokenizer_written_in_python_is_refused(tiny):
    class Splits:
        def pre_tokenize(self, text):
            pass

    tokenizer = Tokenizer(tiny(), 12)
    tokenizer.backend.pre_tokenizer = tokenizers.pre_tokenizers.PreTokenizer.custom(Splits())
    with pytest.raises(UnknownTokenizer, match="a part of it is written in Python"):
        model_of(tokenizer, "string")


def test_normalized_tokens_are_refused():
    tokenizer = _bert()
    tokenizer.add_tokens(["filmo"])
    with pytest.raises(UnknownTokenizer, match="'filmo' is marked as normalized"):
        model_of(Tokenizer(tokenizer, 12), "string")


@pytest.mark.slow
def test_where_unicode_has_no_characters_all_are_read_alike():
    others = [point for alike in ALIKE for point in range(*alike)]
    assert sorted([*CHARACTERS, *range(0xD800, 0xE000), *others]) == list(range(0x110000))
    for normalizer in (tokenizers.normalizers.BertNormalizer(), tokenizers.normalizers.NFKD()):
        for start, stop in ALIKE:
            characters = "".join(map(chr, range(start, stop)))
            first = normalizer.normalize_str(chr(start))
            assert first in ("", chr(start))
            assert normalizer.normalize_str(characters) == (characters if first else "")


@pytest.fixture(scope="module", params=[16, 128])
def minilm(request):
    """The real tokenizer at a maximum length."""
    network = FittedTextNetwork("all-minilm-l6-v2", find_folder("all-minilm-l6-v2"))
    return network.tokenizer(request.param)


def texts_with(words, **characters):
    """A strategy of texts of any characters, in which words and special tokens are typed."""
    special = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "[sep]", "[", "##", " ", "\n", *HARD]
    parts = st.one_of(
        st.text(st.characters(**characters), max_size=5),
        st.text(st.characters(max_codepoint=0x24F, **characters), max_size=5),
        st.sampled_from(special),
        st.sampled_from(words),
    )
    return st.lists(parts, max_size=12).map("".join)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("form", ["string", "utf8"])
def test_any_text_has_the_tokens_of_the_real_tokenizer(minilm, form):
    words = sorted(token.removeprefix("##") for token in minilm.backend.get_vocab())
    session = session_of(minilm, form)
    excluded = {"exclude_categories": ["Cs", "Co"]}
    if form == "string":
        excluded["exclude_characters"] = "\0"

    n_texts = 0

    @settings(max_examples=400, derandomize=True, database=None)
    @given(st.lists(texts_with(words, **excluded), min_size=50, max_size=50))
    def check(texts):
        nonlocal n_texts
        n_texts += len(texts)
        assert_same_tokens(minilm, session, texts)

    check()
    assert n_texts >= 20_000


@pytest.mark.slow
@pytest.mark.real
def test_pairs_and_long_texts_have_the_tokens_of_the_real_tokenizer(minilm):
    session = session_of(minilm, "utf8", 2)
    random = np.random.default_rng(0)
    firsts, seconds = (random.choice([*HARD, "unaffable embeddings " * 9], 2000) for _ in range(2))
    assert_same_tokens(minilm, session, firsts, seconds)
    megabyte = "word and [SEP] \u00e9 \u4e2d " * 50_000
    session = session_of(minilm, "string")
    assert_same_tokens(minilm, session, [megabyte, "short", " " * 1_000_000])
