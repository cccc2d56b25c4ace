"""Examples per second of a fit, against the trainers of transformers and sentence-transformers."""

import logging
import tempfile
import warnings

import numpy as np
import torch
import transformers
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
from benchmarks._texts import issues, similarities
from sklearn_dl import SentenceSimilarityRegressor, TextClassifier
from sklearn_dl.models import model_path
from sklearn_dl.training._device import resolve_precision

PRECISION = resolve_precision("auto", torch.device("cpu"))
QUIET = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no"}


def arguments(kind, folder, seed=0, **options):
    """Defaults (3 epochs, as ours), but for our batch size and for printing and saving nothing."""
    return kind(
        folder,
        per_device_train_batch_size=16,
        seed=seed,
        **QUIET,
        **options,
    )


def transformers_fit(texts, codes, n_classes, folder, seed=0):
    """What a user writes with transformers.Trainer; returns the model and its tokenizer."""
    path = model_path("all-minilm-l6-v2")
    transformers.set_seed(seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        path, num_labels=n_classes
    )
    encoded = tokenizer(texts.tolist(), truncation=True, max_length=128)
    rows = [
        {"input_ids": i, "attention_mask": a, "labels": int(y)}
        for i, a, y in zip(encoded["input_ids"], encoded["attention_mask"], codes, strict=True)
    ]
    trainer = transformers.Trainer(
        model,
        arguments(transformers.TrainingArguments, folder, seed, learning_rate=1e-4),
        train_dataset=rows,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
    )
    trainer.train()
    return model, tokenizer


def quiet():
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def run(quick=False):
    quiet()
    n, n_pairs = (32, 2) if quick else (192, 20)
    rows = []

    def row(what, rival, ratio, bar):
        rows.append(
            {"what": what, "rival": rival, "ms_each": 1000 * ratio.ours_seconds / n}
            # the bars are for processors that compute with bfloat16
            | {"bar": bar if PRECISION == "bfloat16" else None}
            | ratio._asdict()
        )

    with tempfile.TemporaryDirectory() as folder:
        texts, areas = issues("Description", 0)
        names, codes = np.unique(areas, return_inverse=True)

        def part(i):
            rows_of_pair = np.arange(i * n, i * n + n) % len(texts)
            return texts[rows_of_pair], codes[rows_of_pair]

        ratios = compare(
            lambda i: TextClassifier(random_state=i).fit(*part(i)),
            {"Trainer": lambda i: transformers_fit(*part(i), len(names), folder)},
            n_pairs,
        )
        row(f"fit of {n} descriptions", "transformers.Trainer", ratios["Trainer"], 2.5)

        n = min(n, 64)
        pairs, scores, _ = similarities("train")

        def pair_part(i):
            rows_of_pair = np.arange(i * n, i * n + n) % len(pairs)
            return pairs[rows_of_pair], scores[rows_of_pair]

        def data(i):
            chosen, y = pair_part(i)
            columns = {"sentence1": chosen[:, 0].tolist(), "sentence2": chosen[:, 1].tolist()}
            return Dataset.from_dict(columns | {"label": (y / 5).astype(np.float32).tolist()})

        path = str(model_path("all-minilm-l6-v2"))

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
            ratios = compare(lambda i: ours.fit(*pair_part(i)), {rival: work}, n_pairs)  # noqa: B023
            row(f"fit of {n} pairs, {architecture}", rival, ratios[rival], 2.0)
    return rows
