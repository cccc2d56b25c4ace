"""Quality of EntityRecognizer, and its speed against transformers' Trainer and pipeline."""

import tempfile
import time

import numpy as np
import torch
import transformers

from benchmarks._ratio import compare
from benchmarks._shared import data
from benchmarks.text_training import arguments, quiet
from sklearn_dl import EntityRecognizer
from sklearn_dl.datasets import load_conll
from sklearn_dl.models import model_path

SENTENCES_OF_BLOCK = 20
HELD_OUT = 0.3
BAR = 0.76
N_FITTED = 480  # more than one group of batches of similar length


def sentences():
    """Words and tags of Wikigold to train and to test, split by blocks of consecutive sentences."""
    words, tags = load_conll(data("ner/wikigold.txt"), return_X_y=True)
    starts = range(SENTENCES_OF_BLOCK, len(words), SENTENCES_OF_BLOCK)
    blocks = np.array_split(np.arange(len(words)), starts)
    order = np.random.default_rng(0).permutation(len(blocks))
    n_held_out = round(HELD_OUT * len(blocks))
    for some in (order[n_held_out:], order[:n_held_out]):
        rows = np.concatenate([blocks[block] for block in np.sort(some)])
        yield [words[row] for row in rows], [tags[row] for row in rows]


def trainer_fit(words, tags, labels, folder, seed):
    """A fit with transformers.Trainer, like that in its own example of token classification.

    The first token of each word has the tag of the word.
    """
    path = model_path("all-minilm-l6-v2")
    transformers.set_seed(seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModelForTokenClassification.from_pretrained(
        path, num_labels=len(labels)
    )
    encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=128)
    rows = []
    for row, of_row in enumerate(tags):
        of_token = encoded.word_ids(row)
        goals = [
            labels.index(of_row[word]) if word is not None and word != before else -100
            for before, word in zip([None, *of_token], of_token, strict=False)
        ]
        names = ("input_ids", "attention_mask")
        rows.append({name: encoded[name][row] for name in names} | {"labels": goals})
    trainer = transformers.Trainer(
        model,
        arguments(transformers.TrainingArguments, folder, seed, num_train_epochs=1),
        train_dataset=rows,
        data_collator=transformers.DataCollatorForTokenClassification(tokenizer),
    )
    trainer.train()
    return model, tokenizer


def run(quick=False):
    quiet()
    (X, y), (X_test, y_test) = sentences()
    seeds, n_pairs = (range(1), 2) if quick else (range(3), 20)
    scores, seconds = [], []
    for seed in seeds:
        before = time.process_time()
        model = EntityRecognizer(random_state=seed, precision="float32").fit(X, y)
        seconds.append(time.process_time() - before)
        scores.append(model.score(X_test, y_test))
    met = "met" if np.mean(scores) >= BAR else "MISSED"
    quality = {
        "what": f"Wikigold, {len(X)} sentences to train, {len(X_test)} to test, float32",
        "rival": "",
        "text": f"strict F1 {np.mean(scores):.4f} (of {', '.join(f'{s:.4f}' for s in scores)}; "
        f">= {BAR}: {met}), {np.mean(seconds):.0f} CPU seconds to fit",
    }
    return [quality, _fits(X, y, n_pairs), _predictions(model, X_test, n_pairs)]


def _row(what, rival, ratio, n, bar):
    ms_each = 1000 * ratio.ours_seconds / n
    return {"what": what, "rival": rival, "ms_each": ms_each, "bar": bar, **ratio._asdict()}


def _fits(X, y, n_pairs):
    labels = sorted({tag for row in y for tag in row})

    def part(i):
        rows = np.arange(i * N_FITTED, (i + 1) * N_FITTED) % len(X)
        return [X[row] for row in rows], [y[row] for row in rows]

    with tempfile.TemporaryDirectory() as folder:
        ratio = compare(
            lambda i: EntityRecognizer(random_state=i, precision="float32", max_epochs=1).fit(
                *part(i)
            ),
            {"Trainer": lambda i: trainer_fit(*part(i), labels, folder, i)},
            n_pairs,
        )["Trainer"]
    what = f"fit of {N_FITTED} sentences, 1 epoch, float32"
    return _row(what, "transformers.Trainer", ratio, N_FITTED, 1.5)


def _predictions(model, X, n_pairs):
    """Predictions for texts; the speed of the pipeline does not depend on its weights."""
    path = model_path("all-minilm-l6-v2")
    texts = [" ".join(words) for words in X]
    find = transformers.pipeline(
        "token-classification",
        model=transformers.AutoModelForTokenClassification.from_pretrained(path, num_labels=9),
        tokenizer=transformers.AutoTokenizer.from_pretrained(path),
        aggregation_strategy="simple",
        device=torch.device("cpu"),
    )
    ratio = compare(
        lambda i: model.predict(texts), {"pipeline": lambda i: find(texts, batch_size=32)}, n_pairs
    )["pipeline"]
    rival = "transformers.pipeline, batch_size=32"
    return _row(f"entities of {len(X)} texts, float32", rival, ratio, len(X), 2.0)
