"""Speed of exported files against their estimator, and the time that an export takes."""

import time

import numpy as np
import onnxruntime as ort
import torch
import transformers

from benchmarks._ratio import compare
from benchmarks._texts import issues
from sklearn_dl import OnnxScorer, TextClassifier, TextEncoder
from sklearn_dl.export import to_onnx
from sklearn_dl.export._graph import Graph
from sklearn_dl.export.tokens._tokens import tokenize
from sklearn_dl.models import model_path
from sklearn_dl.runtimes.torch._device import resolve_precision

PRECISION = resolve_precision("auto", torch.device("cpu"))


def run(quick=False):
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return [*_speed(quick), *_tokenizer(quick)]


def _speed(quick):
    """Predictions of a file against those of the classifier and of transformers."""
    texts, _ = issues("Description", 0)
    n, n_pairs = (64, 3) if quick else (600, 20)
    clf = TextClassifier(trainable_layers=1, max_epochs=1, random_state=0)
    clf.fit(texts[:64], np.arange(64) % 22)
    started = time.perf_counter()
    model = to_onnx(clf, texts[:20])
    seconds = time.perf_counter() - started
    rows = [
        {
            "what": "to_onnx of a fine-tuned classifier, verified on 20 rows",
            "rival": "",
            "text": f"{seconds:.0f} s (at most 40: {'met' if seconds <= 40 else 'MISSED'})",
        }
    ]
    texts, exact = texts[:n], TextClassifier(**clf.get_params() | {"precision": "float32"})
    exact.__dict__.update({k: v for k, v in vars(clf).items() if k not in clf.get_params()})
    folder = model_path("all-minilm-l6-v2")
    network = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=22)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipeline = transformers.pipeline("text-classification", model=network, tokenizer=tokenizer)
    options = {"batch_size": 32, "truncation": True, "max_length": 128}
    as_list = texts.tolist()
    file = OnnxScorer(model, outputs="probabilities")
    rivals = {
        "TextClassifier.predict": lambda i: clf.predict(texts),
        'TextClassifier(precision="float32").predict': lambda i: exact.predict(texts),
        "transformers.pipeline, batches of 32": lambda i: pipeline(as_list, **options),
    }
    ratios = compare(lambda i: file.transform(texts), rivals, n_pairs)
    what = f"OnnxScorer(to_onnx(clf)), {n} descriptions"
    for name, ratio in ratios.items():
        ms = 1000 * ratio.ours_seconds / n
        rows.append({"what": what, "rival": name, "bar": None, "ms_each": ms} | ratio._asdict())
    return rows


def _tokenizer(quick):
    """The share of the time of a file that its tokenizer takes."""
    texts = np.array([" ".join(["sockets"] * 126)] * 32, dtype=object).reshape(-1, 1)
    encoder = TextEncoder()
    model = to_onnx(encoder, texts[:1, 0])
    whole = ort.InferenceSession(model.SerializeToString())
    graph = Graph(18)
    given = graph.input("text", str, ("N", 1))
    tokens = tokenize(graph, encoder._network().tokenizer(encoder.max_length), [given], "string")
    graph.output("input_ids", tokens.ids, np.int64, ("N", None))
    alone = ort.InferenceSession(graph.model().SerializeToString())
    ratio = compare(
        lambda i: alone.run(None, {"text": texts}),
        {"whole": lambda i: whole.run(None, {"text": texts})},
        3 if quick else 20,
    )["whole"]
    share = ratio.ours_seconds / ratio.rival_seconds
    ms = 1000 * ratio.ours_seconds / 32
    met = "met" if share <= 0.15 else "MISSED"
    return [
        {
            "what": "the tokenizer in a file, 32 texts of 128 tokens",
            "rival": "the whole file",
            "text": f"{share:.1%} of the time, {ms:.2f} ms a text (at most 15 %: {met})",
        }
    ]
