import numpy as np
import onnxruntime
import pytest
import tokenizers

from sklearn_dl.export._graph import Graph
from sklearn_dl.export.tokens._byte_pairs import merge_pairs

LETTERS = "abc"


def random_merges(random, shuffled):
    """A vocabulary of letters and merges; several merges may have the same result."""
    vocabulary, merges = {letter: number for number, letter in enumerate(LETTERS)}, []
    for _ in range(30):
        left, right = random.choice(list(vocabulary), 2)
        if len(left + right) <= 6 and (left, right) not in merges:
            merges.append((str(left), str(right)))
            vocabulary.setdefault(str(left + right), len(vocabulary))
    if shuffled:
        random.shuffle(merges)
    return vocabulary, [tuple(merge) for merge in merges]


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_words_become_the_tokens_of_tokenizers(seed, shuffled):
    random = np.random.default_rng(seed)
    vocabulary, merges = random_merges(random, shuffled)
    model = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    words = ["".join(random.choice(list(LETTERS), random.integers(1, 20))) for _ in range(200)]
    words.append("a" * 50)
    expected = model.encode(" ".join(words))

    graph = Graph(18)
    tokens, numbers = (graph.input(name, np.int64, ("n",)) for name in ("tokens", "words"))
    n_words = graph.input("n_words", np.int64, (1,))
    ids = [(vocabulary[a], vocabulary[b], vocabulary[a + b]) for a, b in merges]
    made = merge_pairs(graph, ids, len(vocabulary), tokens, numbers, n_words)
    for name, value in zip(("tokens_left", "words_left"), made, strict=True):
        graph.output(name, value, np.int64, ("n_left",))
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    feeds = {
        "tokens": np.array([vocabulary[letter] for word in words for letter in word]),
        "words": np.array([number for number, word in enumerate(words) for _ in word]),
        "n_words": np.array([len(words)]),
    }
    left, words_of = session.run(None, feeds)
    assert left.tolist() == expected.ids
    assert words_of.tolist() == expected.word_ids
