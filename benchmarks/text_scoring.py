"""Speed of predictions and embeddings, against transformers and sentence-transformers."""

import logging

import numpy as np
import torch
import transformers
from sentence_transformers import SentenceTransformer

from benchmarks._ratio import compare
from benchmarks._texts import issues
from sklearn_dl import TextClassifier, TextEncoder
from sklearn_dl.models import model_path
from sklearn_dl.runtimes.torch._device import autocast, resolve_precision

CPU = torch.device("cpu")
PRECISION = resolve_precision("auto", CPU)
N_CLASSES = 22


def run(quick=False):
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    texts, _ = issues("Description", 0)
    n, n_pairs = (64, 3) if quick else (600, 20)
    texts, folder = texts[:n], model_path("all-minilm-l6-v2")
    rows = []

    def row(what, rival, ratio, bar):
        seconds = ratio.ours_seconds
        rows.append(
            {"what": what, "rival": rival, "bar": bar, "ms_each": 1000 * seconds / n}
            | ratio._asdict()
        )

    # both truncate texts after 128 tokens
    options = {"batch_size": 32, "truncation": True, "max_length": 128}
    network = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=N_CLASSES
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipeline = transformers.pipeline("text-classification", model=network, tokenizer=tokenizer)
    fitted = TextClassifier(trainable_layers=1, max_epochs=1, random_state=0)
    fitted.fit(texts[:64], np.arange(64) % N_CLASSES)
    as_list = texts.tolist()
    ratios = compare(
        lambda i: fitted.predict(texts),
        {"pipeline": lambda i: pipeline(as_list, **options)},
        n_pairs,
    )
    row(
        f"predict, {n} descriptions",
        "transformers.pipeline, batches of 32",
        ratios["pipeline"],
        4.0,
    )

    n = min(n, 200)
    texts, as_list = texts[:n], as_list[:n]
    encoder, exact = TextEncoder(), TextEncoder(precision="float32")
    rival = SentenceTransformer(str(folder), device="cpu")
    rival.max_seq_length = 128
    theirs = rival.encode(as_list)
    cosines = [(e.transform(texts) * theirs).sum(1).min() for e in (encoder, exact)]
    ratios = compare(
        lambda i: encoder.transform(texts),
        {"encode": lambda i: rival.encode(as_list)},
        n_pairs,
    )
    what = f"embeddings of {n} descriptions (cosine >= {cosines[0]:.4f}; float32 {cosines[1]:.6f})"
    row(what, "SentenceTransformer.encode", ratios["encode"], 2.0)

    one = np.array(["a short text about sockets"], dtype=object)

    def bare(i):
        with torch.inference_mode(), autocast(PRECISION, CPU):
            network(**tokenizer(one.tolist(), return_tensors="pt")).logits.float().numpy()

    network.eval()
    ratio = compare(lambda i: fitted.predict(one), {"bare": bare}, 20 if quick else 300)["bare"]
    above = 1000 * (ratio.ours_seconds - ratio.rival_seconds)
    met = "met" if above <= 1 else "MISSED"
    n = 1
    row(
        f"predict of one text: {above:+.2f} ms (at most +1: {met})",
        "tokenizer + model",
        ratio,
        None,
    )
    return rows
