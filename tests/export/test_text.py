"""Exported text estimators give the estimators' results from strings, bytes and token ids."""

import json
import pickle
import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import tokenizers
import torch
import transformers
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_dl import (
    LabelKeyMapper,
    SentenceSimilarityRegressor,
    TextClassifier,
    TextEncoder,
    TextRegressor,
)
from sklearn_dl.export import save_tokenizer, to_onnx
from sklearn_dl.models._torch_to_onnx import torch_to_onnx
from tests.text.tiny_encoders import KINDS, tiny_bert, tiny_encoder
from tests.text.tiny_heads import tiny_head

TEXTS = ["a good film", "the bad book!", "", "fine music and poor plot", "Old house", "dog"] * 2
X = np.array(TEXTS, dtype=object)
PAIRS = np.column_stack([X, np.roll(X, 1)])
Y = np.arange(12) % 3
LABELS = np.column_stack([Y == 0, Y == 1])
SMALL = {"max_length": 16, "max_epochs": 1, "learning_rate": 1e-2, "random_state": 0}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(tiny_bert(tmp_path_factory.mktemp("encoders") / "bert"))


@pytest.fixture(scope="module")
def clf(encoder):
    return TextClassifier(encoder, **SMALL).fit(X, np.array(["b", "a", "c"])[Y])


def run(model, feeds):
    session = ort.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def column(texts):
    return np.asarray(texts, dtype=object).reshape(-1, 1)


def as_bytes(texts):
    encoded = [text.encode() for text in texts]
    width = max(map(len, encoded)) + 3
    return np.array([[*text, *[0] * (width - len(text))] for text in encoded], np.uint8)


@pytest.mark.slow
def test_a_classifier_of_texts_inside_others(encoder):
    y = np.array(["b", "a", "c"])[Y]
    network = TextClassifier(encoder, trainable_layers=0, **SMALL).fit(X, y)
    words = make_pipeline(TfidfVectorizer(), LogisticRegression())
    voting = VotingClassifier([("network", network), ("words", words)], voting="soft")
    calibrated = CalibratedClassifierCV(FrozenEstimator(network), cv=2)
    for estimator in (voting, calibrated):
        names = [output.name for output in to_onnx(estimator.fit(X, y), X).graph.output]
        assert names == ["label", "probabilities"]


@pytest.mark.slow
def test_from_a_string_to_a_label(clf):
    model = to_onnx(clf, X)
    (text,) = model.graph.input
    assert text.name == "text"
    new = ["a fine old film", "POOR: [SEP] zebra", "é è"]
    results = run(model, {"text": column(new)})
    clf.set_params(precision="float32")
    assert list(results) == ["label", "probabilities"]
    assert results["probabilities"].dtype == np.float32
    assert results["label"].tolist() == clf.predict(new).tolist()
    assert_allclose(results["probabilities"], clf.predict_proba(new), atol=1e-5)


@pytest.mark.slow
def test_a_process_with_onnxruntime_alone(clf, tmp_path):
    (tmp_path / "model.onnx").write_bytes(to_onnx(clf, X).SerializeToString())
    program = """
import sys
import numpy, onnxruntime
texts = numpy.array([["a fine old film"], ["dog"]], dtype=object)
session = onnxruntime.InferenceSession(sys.argv[1])
print(*session.run(["label"], {"text": texts})[0])
assert not {"onnx", "sklearn", "sklearn_dl", "tokenizers", "torch", "transformers"} & {*sys.modules}
"""
    command = [sys.executable, "-c", program, tmp_path / "model.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == clf.predict(["a fine old film", "dog"]).tolist()


@pytest.mark.slow
def test_from_bytes_to_a_label(clf):
    results = run(to_onnx(clf, X, text="utf8"), {"text": as_bytes(["a\0fine film", "中文"])})
    clf.set_params(precision="float32")
    expected = clf.predict_proba(["a\0fine film", "中文"])
    assert_allclose(results["probabilities"], expected, atol=1e-5)


@pytest.fixture
def one_network(monkeypatch):
    """Within a test, torch exports its network once: this takes seconds."""
    made = []

    def export_once(*arguments, **options):
        if not made:
            made.append(torch_to_onnx(*arguments, **options))
        return made[0]

    monkeypatch.setattr("sklearn_dl.export._networks.torch_to_onnx", export_once)


@pytest.mark.slow
@pytest.mark.usefixtures("one_network")
@pytest.mark.parametrize(
    ("estimator", "rows", "y"),
    [
        (TextClassifier(trainable_layers=1, **SMALL), X, Y),
        (TextClassifier(trainable_layers=0, max_length=16), X, Y == 1),
        (TextClassifier(**SMALL), PAIRS, Y),
        (TextClassifier(trainable_layers=0, max_length=16), PAIRS, Y),
        (TextClassifier(**SMALL), X, LABELS),
        (TextClassifier(trainable_layers=0, max_length=16), X, LABELS.astype(int)),
        (TextRegressor(**SMALL), X, 1000.0 * Y),
        (TextRegressor(trainable_layers=0, max_length=16), X, np.column_stack([Y, -2.0 * Y])),
        (SentenceSimilarityRegressor(**SMALL), PAIRS, Y),
        (SentenceSimilarityRegressor(trainable_layers=0, max_length=16), PAIRS, Y),
        (SentenceSimilarityRegressor(max_epochs=0, max_length=16), PAIRS, None),
        (SentenceSimilarityRegressor(architecture="cross-encoder", **SMALL), PAIRS, Y),
        (
            SentenceSimilarityRegressor(
                architecture="cross-encoder", trainable_layers=0, max_length=16
            ),
            PAIRS,
            Y,
        ),
        (TextEncoder(max_length=16), X, None),
    ],
)
def test_every_estimator_gives_the_same(encoder, estimator, rows, y):
    fitted = estimator.set_params(model=encoder).fit(rows, y)
    for text in ("string", "utf8", "token_ids"):
        # to_onnx compares all outputs with the estimator's
        outputs = to_onnx(fitted, rows, text=text).graph.output
        shapes = {
            output.name: [d.dim_param or d.dim_value for d in output.type.tensor_type.shape.dim]
            for output in outputs
        }
        if isinstance(estimator, TextEncoder):
            assert shapes == {"features": ["N", 32]}
        elif isinstance(estimator, TextClassifier):
            label = ["N", 2] if y.ndim == 2 else ["N"]
            n_classes = 2 if y.ndim == 2 else len(np.unique(y))
            assert shapes == {"label": label, "probabilities": ["N", n_classes]}
        else:
            assert shapes == {"prediction": ["N", 2] if np.ndim(y) == 2 else ["N"]}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_family_of_encoders_takes_token_ids(tmp_path, kind):
    folder = str(tiny_encoder(tmp_path / kind, kind))
    to_onnx(TextEncoder(folder, max_length=16), X, text="token_ids")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_heads_of_model_folders(tmp_path, kind):
    folder = str(tiny_head(tmp_path / kind, kind, "sequence", ["c", "a", "b"]))
    clf = TextClassifier(folder, **SMALL | {"max_length": 40})
    # to_onnx compares all outputs with the estimator's
    to_onnx(clf, X, text="token_ids")
    if kind == "bert":
        to_onnx(clf.fit(X, np.array(["b", "a", "c"])[Y]), X)


@pytest.mark.slow
def test_heads_of_numbers_of_labels_and_of_pairs(tmp_path):
    number = str(tiny_head(tmp_path / "number", "bert", "sequence", ["LABEL_0"]))
    (prediction,) = to_onnx(TextRegressor(number, **SMALL)).graph.output
    assert prediction.name == "prediction"
    kind = "multi_label_classification"
    labels = str(tiny_head(tmp_path / "labels", "bert", "sequence", problem_type=kind))
    to_onnx(TextClassifier(labels, **SMALL), PAIRS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"deberta-v2", "xlm-roberta"}))
@pytest.mark.parametrize("text", ["string", "utf8"])
def test_families_of_encoders_whose_tokenizers_are_graphs(tmp_path, kind, text):
    folder = str(tiny_encoder(tmp_path / kind, kind))
    to_onnx(TextEncoder(folder, max_length=16), X, text=text)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deberta-v2", "xlm-roberta"])
def test_other_tokenizers_are_refused_by_name(tmp_path, kind):
    encoder = TextEncoder(str(tiny_encoder(tmp_path / kind, kind)), max_length=16)
    with pytest.raises(ValueError, match=r'TextEncoder cannot be exported.*text="token_ids"'):
        to_onnx(encoder, X)


@pytest.mark.slow
def test_a_static_embedding(tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    from tests.text.tiny_encoders import _tokenizer

    made = StaticEmbedding(_tokenizer().backend_tokenizer, embedding_dim=8)
    sentence_transformers.SentenceTransformer(modules=[made]).save(str(tmp_path / "static"))
    to_onnx(TextEncoder(str(tmp_path / "static"), max_length=16), X, text="token_ids")


@pytest.mark.slow
def test_token_ids_of_a_saved_tokenizer(clf, tmp_path):
    model = to_onnx(clf, X, text="token_ids")
    names = [value.name for value in model.graph.input]
    assert names == ["input_ids", "attention_mask", "token_type_ids"]
    save_tokenizer(clf, tmp_path / "made" / "here")
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "made" / "here" / "tokenizer.json"))
    new = ["a fine old film", "dog " * 30]
    encoded = tokenizer.encode_batch(new)
    assert max(len(row.ids) for row in encoded) == 16
    feeds = {
        "input_ids": np.array([row.ids for row in encoded]),
        "attention_mask": np.array([row.attention_mask for row in encoded]),
        "token_type_ids": np.array([row.type_ids for row in encoded]),
    }
    results = run(model, feeds)
    clf.set_params(precision="float32")
    with pytest.warns(UserWarning, match="tokens"):
        assert results["label"].tolist() == clf.predict(new).tolist()
    # transformers makes all inputs of the model, token types too
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "made" / "here")
    again = loaded(new, padding=True, truncation=True, return_tensors="np")
    assert set(again) == set(feeds)
    for name, values in feeds.items():
        assert np.array_equal(again[name], values)


def test_a_tokenizer_is_found_in_a_pipeline(clf, encoder, tmp_path):
    frame = pd.DataFrame({"text": X, "number": np.arange(12.0)})
    both = make_column_transformer(
        (TextEncoder(encoder, max_length=16), "text"), (StandardScaler(), ["number"])
    )
    pipe = make_pipeline(both, LogisticRegression()).fit(frame, Y)
    save_tokenizer(pipe, tmp_path)
    assert (tmp_path / "tokenizer.json").exists()


@pytest.mark.slow
def test_a_pipeline_without_one_tokenizer_is_refused(encoder, tmp_path):
    with pytest.raises(ValueError, match="LogisticRegression has no text estimator"):
        save_tokenizer(LogisticRegression(), tmp_path)
    two = FeatureUnion(
        [("a", TextEncoder(encoder, max_length=16)), ("b", TextEncoder(encoder, max_length=8))]
    )
    with pytest.raises(ValueError, match="different tokenizers"):
        save_tokenizer(two, tmp_path)
    with pytest.raises(ValueError, match="two encoders with different tokenizers"):
        to_onnx(two.fit(X), X, text="token_ids")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("text", ["string", "token_ids"])
def test_several_texts_enter(encoder, text):
    frame = pd.DataFrame({"title": X, "body": X[::-1], "number": np.arange(12.0)})
    columns = make_column_transformer(
        (TextEncoder(encoder, max_length=16), "title"),
        (TextEncoder(encoder, max_length=8), "body"),
        (StandardScaler(), ["number"]),
    )
    pipe = make_pipeline(columns, LogisticRegression()).fit(frame, Y)
    model = to_onnx(pipe, frame, text=text)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["max_length"] == "16, 8"
    names = [value.name for value in model.graph.input]
    if text == "string":
        assert names == ["title", "body", "number"]
    else:
        kinds = ["input_ids", "attention_mask", "token_type_ids"]
        assert sorted(names) == sorted(
            ["number", *(f"{name}__{kind}" for name in ("title", "body") for kind in kinds)]
        )


@pytest.mark.slow
def test_an_export_changes_nothing_of_the_estimator(clf):
    before = pickle.dumps(clf)
    first = to_onnx(clf, X).SerializeToString()
    assert pickle.dumps(clf) == before
    torch.set_default_dtype(torch.float64)  # the caller's settings do not change the file
    try:
        again = to_onnx(clf, X).SerializeToString()
    finally:
        torch.set_default_dtype(torch.float32)
    assert again == first
    for secret in (b"site-packages", b"sklearn_dl/", b"/tmp", b"/home", b"/root", b'File "'):
        assert secret not in first


@pytest.mark.slow
def test_what_the_file_says_about_itself(clf):
    properties = {entry.key: entry.value for entry in to_onnx(clf, X).metadata_props}
    assert properties["estimator"] == "TextClassifier"
    assert properties["package"].startswith("sklearn_dl ")
    assert json.loads(properties["classes"]) == ["a", "b", "c"]
    assert properties["max_length"] == "16"
    assert list(json.loads(properties["made_from"])) == [clf._predictor.network.content.sha256]


@pytest.mark.parametrize("text", ["string", "token_ids"])
def test_windows_are_refused(clf, encoder, text):
    for estimator in (pickle.loads(pickle.dumps(clf)), TextEncoder(encoder, max_length=16)):
        estimator.set_params(long_texts="windows", window_overlap=4)
        with pytest.raises(ValueError, match=r'"windows" is not .* set_params\(long_texts="trunc'):
            to_onnx(estimator, X, text=text)


def test_rows_that_are_masked_are_refused(clf):
    masked = pickle.loads(pickle.dumps(clf)).set_params(on_error="nan")
    with pytest.raises(ValueError, match=r'TextClassifier cannot be exported: on_error="nan"'):
        to_onnx(masked, X)


def test_other_columns_are_refused(clf):
    with pytest.raises(ValueError, match=r"X_sample has 2 columns, but .* was fitted on 1"):
        to_onnx(clf, PAIRS)
    with pytest.raises(ValueError, match="it takes texts, but X_sample has columns of float64"):
        to_onnx(clf, np.arange(3.0)[:, None])


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(("weights", "share"), [("float32", 1.0), ("float16", 0.52), ("int8", 0.3)])
def test_real_weights(weights, share):
    encoder = TextEncoder(max_length=64)
    model = to_onnx(encoder, weights=weights)
    assert model.ByteSize() < share * 92.5e6
    licences = json.loads({e.key: e.value for e in model.metadata_props}["made_from"])
    assert list(licences.values()) == ["Apache-2.0"]
    new = ["a guitar", "an instrument", "a tomato"]
    features = run(model, {"text": column(new)})["features"]
    assert_array_equal(features.shape, (3, 384))
    expected = encoder.set_params(precision="float32").transform(new)
    assert ((features * expected).sum(axis=1) > 1 - 2e-3).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["input_ids", "title__input_ids"])
def test_columns_with_the_name_of_an_input_for_token_ids(encoder, name):
    frame = pd.DataFrame({"title": X, name: np.arange(12.0)})
    columns = make_column_transformer(
        (StandardScaler(), [name]), (TextEncoder(encoder, max_length=16), "title")
    )
    columns.fit(frame)
    with pytest.raises(ValueError, match=f"'{name}' has the name of an input for token ids"):
        to_onnx(columns, frame, text="token_ids")


@pytest.mark.slow
def test_one_text_of_a_pair_is_computed(encoder):
    frame = pd.DataFrame({"title": X, "body": np.where(X == "", "empty", X)})
    keys = LabelKeyMapper().fit(frame[["body"]])
    body = make_pipeline(keys, FunctionTransformer(keys.inverse_transform))
    pairs = make_column_transformer(("passthrough", ["title"]), (body, ["body"]))
    similarity = SentenceSimilarityRegressor(encoder, trainable_layers=0, max_length=16)
    pipe = make_pipeline(pairs, similarity).fit(frame, Y)
    names = {value.name for value in to_onnx(pipe, frame, text="utf8").graph.input}
    assert names == {"title", "body"}
