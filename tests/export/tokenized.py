"""Graphs of tokenizers, and their results for texts."""

import numpy as np
import onnx
import onnxruntime

from sklearn_dl.export._graph import Graph
from sklearn_dl.export.tokens._tokens import tokenize

HARD = [
    *("", " ", "a", "A good, very GOOD film!", "  bad\tfilm\n", "goodfilm bad.bad", "unknown"),
    # accents, composed and not; letters that become others
    *("na\u00efve n\u00e9e", "e\u0301a\u0323\u0301", "\u0301a", "\u0130 \u0131 \u00df \ufb01"),
    *("\u039f\u0394\u039f\u03a3 \u03a3\u0391\u03a3", "\uff21\uff42", "\u01bba\u01bb"),
    # Chinese, Japanese, Korean, Thai
    *("\u4e2d\u6587 good\u4e2d", "\u3053\u3093", "\ud55c\uad6d\uc5b4", "\u0e44\u0e17\u0e22"),
    # emoji, private use, unassigned, not characters
    *("\U0001f642 ok \U0001f469\u200d\U0001f4bb", "a\ue000b", "\U00050000a", "a\ufffe\U000efffd"),
    # control characters, white space, joiners
    *("a\x01b\x7fc", "a\x85b\u2028c\u3000d\xa0e", "a\u200db\u200cc\u00ad\ufeff", "\ufffda"),
    # special tokens, in whole and in part
    *("[SEP]", "good[SEP]film", "[[SEP]]", "[SE[SEP]P]", "[CLS] [MASK][PAD] [UNK]", "[sep] [SEP"),
    *("<s>a</s><mask>", "<mask >  <mask>", "##a ##", "[unused1]"),
    # long words and long texts
    *("a" * 100, "a" * 101, "b" * 99 + "\u00e9", "." * 120),
    *("good " * 50, "goodfilm" * 13, "x" * 999),
]


def model_of(tokenizer, form, n_texts=1):
    """The graph of a tokenizer, as a model."""
    graph = Graph(18)
    texts = [
        graph.input(f"text_{i}", str, ("N", 1))
        if form == "string"
        else graph.input(f"text_{i}", np.uint8, ("N", f"n_bytes_{i}"))
        for i in range(n_texts)
    ]
    for name, value in tokenize(graph, tokenizer, texts, form)._asdict().items():
        if value is not None:
            graph.output(name, value, np.int64, ("N", "length"))
    return graph.model()


def session_of(*args):
    model = model_of(*args)
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString())


def utf8(texts):
    """The bytes of texts, as uint8 of shape (n_texts, n_bytes)."""
    encoded = [text.encode() for text in texts]
    longest = max(map(len, encoded))
    rows = b"".join(text.ljust(longest, b"\0") for text in encoded)
    return np.frombuffer(rows, dtype=np.uint8).reshape(len(texts), longest)


def assert_same_tokens(tokenizer, session, *columns):
    """Check the results of a session for one or two columns of texts."""
    columns = [np.array(column, dtype=object) for column in columns]
    feeds = {
        given.name: column[:, None] if given.type == "tensor(string)" else utf8(column)
        for given, column in zip(session.get_inputs(), columns, strict=True)
    }
    names = [output.name for output in session.get_outputs()]
    made = dict(zip(names, session.run(None, feeds), strict=True))
    ids, mask, types = tokenizer.pad(tokenizer.encode(columns, 1))
    mask = np.ones_like(ids) if mask is None else mask
    types = np.zeros_like(ids) if types is None else types
    # a row is compared with its padding left out, so that the text is shown that differs
    for row, is_token in enumerate(mask.astype(bool)):
        found = made["ids"][row][made["mask"][row].astype(bool)].tolist()
        assert found == ids[row][is_token].tolist(), [ascii(column[row]) for column in columns]
    np.testing.assert_array_equal(made["ids"], ids)
    np.testing.assert_array_equal(made["mask"], mask)
    if tokenizer.takes_types:
        np.testing.assert_array_equal(made["types"], types)
    assert ("types" in made) == tokenizer.takes_types
