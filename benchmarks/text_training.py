"""Speed of fits on texts, against transformers' Trainer."""

import logging
import tempfile
import warnings

import numpy as np
import torch
import transformers

from benchmarks._ratio import compare
from benchmarks._texts import issues
from sklearn_dl import TextClassifier
from sklearn_dl.models import model_path
from sklearn_dl.runtimes.torch._device import resolve_precision

PRECISION = resolve_precision("auto", torch.device("cpu"))
QUIET = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no"}


def arguments(kind, folder, seed=0, **options):
    """The Trainer's defaults (3 epochs, like ours), but our batch size and no output or files."""
    return kind(
        folder,
        per_device_train_batch_size=16,
        seed=seed,
        **QUIET,
        **options,
    )


def transformers_fit(texts, codes, n_classes, folder, seed=0):
    """A fit as a user writes it with transformers.Trainer; returns the model and its tokenizer."""
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


def row(what, rival, ratio, n, bar):
    return {
        "what": what,
        "rival": rival,
        "ms_each": 1000 * ratio.ours_seconds / n,
        # the bars are for CPUs with instructions for bfloat16
        "bar": bar if PRECISION == "bfloat16" else None,
        **ratio._asdict(),
    }


def run(quick=False):
    quiet()
    n, n_pairs = (32, 2) if quick else (192, 20)
    texts, areas = issues("Description", 0)
    names, codes = np.unique(areas, return_inverse=True)

    def part(i):
        rows_of_pair = np.arange(i * n, i * n + n) % len(texts)
        return texts[rows_of_pair], codes[rows_of_pair]

    with tempfile.TemporaryDirectory() as folder:
        ratio = compare(
            lambda i: TextClassifier(random_state=i).fit(*part(i)),
            {"Trainer": lambda i: transformers_fit(*part(i), len(names), folder)},
            n_pairs,
        )["Trainer"]
    return [row(f"fit of {n} descriptions", "transformers.Trainer", ratio, n, 2.5)]
