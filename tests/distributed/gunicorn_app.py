"""A WSGI application whose models are used before gunicorn forks its workers."""

import json
import os
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from sklearn_dl import OnnxScorer, TextClassifier
from tests.scoring.onnx_graphs import two_layers
from tests.text.tiny_encoders import tiny_bert

TEXTS = ["a good film", "the bad book"] * 4
NUMBERS = np.ones((200, 3), np.float32)

folder = Path(os.environ.get("APP_FOLDER") or mkdtemp())
(folder / "graph.onnx").write_bytes(two_layers().SerializeToString())
scorer = OnnxScorer(folder / "graph.onnx", n_threads=2)
classifier = TextClassifier(str(tiny_bert(folder / "bert")), max_length=16, n_threads=2)
classifier.fit(TEXTS, [0, 1] * 4)


def predictions():
    return [scorer.transform(NUMBERS[:1])[0], *classifier.predict_proba(TEXTS[:2])]


before_the_fork = predictions()


def application(environ, start_response):
    difference = max(
        float(abs(now - before).max())
        for now, before in zip(predictions(), before_the_fork, strict=True)
    )
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), "difference": difference}).encode()]
