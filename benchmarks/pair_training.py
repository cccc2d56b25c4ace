"""Speed of fits on pairs of texts, against the trainers of sentence-transformers."""

import tempfile

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import (
    CrossEncoder,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.cross_encoder import (
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
)
from sentence_transformers.cross_encoder.losses import MSELoss
from sentence_transformers.losses import CosineSimilarityLoss

from benchmarks._ratio import compare
from benchmarks._texts import similarities
from benchmarks.text_training import PRECISION, arguments, quiet, row
from sklearn_dl import SentenceSimilarityRegressor
from sklearn_dl.models import model_path

__all__ = ["PRECISION", "run"]


def run(quick=False):
    quiet()
    n, n_pairs = (32, 2) if quick else (64, 20)
    pairs, scores, _ = similarities("train")

    def part(i):
        rows_of_pair = np.arange(i * n, i * n + n) % len(pairs)
        return pairs[rows_of_pair], scores[rows_of_pair]

    def data(i):
        chosen, y = part(i)
        columns = {"sentence1": chosen[:, 0].tolist(), "sentence2": chosen[:, 1].tolist()}
        return Dataset.from_dict(columns | {"label": (y / 5).astype(np.float32).tolist()})

    path = str(model_path("all-minilm-l6-v2"))
    rows = []
    with tempfile.TemporaryDirectory() as folder:

        def bi_encoder(i):
            model = SentenceTransformer(path, device="cpu")
            model.max_seq_length = 128
            args = arguments(SentenceTransformerTrainingArguments, folder, learning_rate=5e-5)
            loss = CosineSimilarityLoss(model)
            SentenceTransformerTrainer(model, args, train_dataset=data(i), loss=loss).train()

        def cross_encoder(i):
            model = CrossEncoder(path, num_labels=1, max_length=128, device="cpu")
            args = arguments(CrossEncoderTrainingArguments, folder, learning_rate=5e-5)
            loss = MSELoss(model, activation_fn=torch.nn.Identity())
            CrossEncoderTrainer(model, args, train_dataset=data(i), loss=loss).train()

        for architecture, rival, work in (
            ("bi-encoder", "SentenceTransformerTrainer", bi_encoder),
            ("cross-encoder", "CrossEncoderTrainer", cross_encoder),
        ):
            ours = SentenceSimilarityRegressor(architecture=architecture, random_state=0)
            ratio = compare(lambda i: ours.fit(*part(i)), {rival: work}, n_pairs)[rival]  # noqa: B023
            rows.append(row(f"fit of {n} pairs, {architecture}", rival, ratio, n, 2.0))
    return rows
