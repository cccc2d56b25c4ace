"""Quality of the text estimators with their defaults: means over seeds, on rows not trained on."""

import tempfile
import warnings

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from benchmarks._texts import emotions, issues, polarity, similarities
from sklearn_dl import SentenceSimilarityRegressor, TextClassifier

N_TRAIN = 1000


def run(quick=False):
    warnings.simplefilter("ignore")
    seeds = range(1 if quick else 3)
    return [
        *_classification(quick, seeds),
        _labels(seeds),
        *_similarity(seeds),
        _trainer(seeds[:1]),
    ]


def _row(what, rival, text):
    return {"what": what, "rival": rival, "text": text}


def _mean(values):
    return f"{np.mean(values):.4f} (of {', '.join(f'{v:.4f}' for v in values)})"


def _classification(quick, seeds):
    tfidf = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression())
    tasks = (
        ("sentence polarity", polarity, 500 if quick else None, 0.78),
        ("issue titles, 22 areas", lambda seed: issues("Title", seed), None, 0.746),
    )
    for name, data, n_test, bar in tasks:
        scores: dict = {"tuned": [], "frozen": [], "TF-IDF": []}
        for seed in seeds:
            X, y = data(seed)
            train, test = slice(N_TRAIN), slice(N_TRAIN, n_test and N_TRAIN + n_test)
            for kind, model in (
                ("tuned", TextClassifier(random_state=seed)),
                ("frozen", TextClassifier(trainable_layers=0)),
                ("TF-IDF", tfidf),
            ):
                scores[kind].append(model.fit(X[train], y[train]).score(X[test], y[test]))
        met = "met" if np.mean(scores["tuned"]) >= bar else "MISSED"
        others = (
            f"frozen + LR {np.mean(scores['frozen']):.3f}, "
            f"TF-IDF + LR {np.mean(scores['TF-IDF']):.3f}"
        )
        text = f"accuracy {_mean(scores['tuned'])} (>= {bar}: {met})"
        yield _row(f"{name}, {N_TRAIN} train, {len(X) - N_TRAIN} test", others, text)


def _labels(seeds):
    """28 labels; a comment may have any number of them."""
    train, (X, y) = emotions("train"), emotions("dev")

    def micro_f1(model):
        return f1_score(y, model.fit(*train).predict(X), average="micro")

    tuned = [micro_f1(TextClassifier(random_state=seed)) for seed in seeds]
    others = [f"frozen {micro_f1(TextClassifier(trainable_layers=0)):.3f}"]
    for C in (10, 100):
        one_each = OneVsRestClassifier(LogisticRegression(C=C, max_iter=1000))
        words = make_pipeline(TfidfVectorizer(sublinear_tf=True), one_each)
        others.append(f"TF-IDF + LR of each label, C={C}: {micro_f1(words):.3f}")
    met = "met" if np.mean(tuned) >= 0.45 else "MISSED"
    text = f"micro F1 {_mean(tuned)} (>= 0.45: {met})"
    return _row("GoEmotions, 28 labels, 2000 train, 2000 dev", ", ".join(others), text)


def _similarity(seeds):
    (X, y, source), (X_dev, y_dev, source_dev) = similarities("train"), similarities("dev")
    tasks = [("STSb dev, 1000 pairs to train", (X, y), (X_dev, y_dev))]
    X_all, y_all, source_all = (
        np.concatenate(both) for both in ((X, X_dev), (y, y_dev), (source, source_dev))
    )
    order = np.random.default_rng(0).permutation(len(y_all))
    for one in np.unique(source_dev):
        others = [row for row in order if source_all[row] != one][:N_TRAIN]
        train, test = (
            (X_all[others], y_all[others]),
            (X_dev[source_dev == one], y_dev[source_dev == one]),
        )
        tasks.append((f"STSb {one}, {len(others)} pairs of other sources to train", train, test))
    gains = []
    for name, train, (X_test, y_test) in tasks:
        models = [SentenceSimilarityRegressor(max_epochs=0)]
        models += [SentenceSimilarityRegressor(random_state=seed) for seed in seeds]
        zero_shot, *tuned = (
            spearmanr(model.fit(*train).predict(X_test), y_test)[0] for model in models
        )
        gains.append(np.mean(tuned) - zero_shot)
        yield _row(f"{name}, bi-encoder", f"zero-shot {zero_shot:.4f}", f"Spearman {_mean(tuned)}")
    first, held_out = gains[0], np.mean(gains[1:])
    met = "met" if first >= 0 else "MISSED", "met" if held_out > 0 else "MISSED"
    text = f"{first:+.4f} (not below 0: {met[0]}); new domains {held_out:+.4f} (above 0: {met[1]})"
    yield _row("STSb, gain in Spearman", "zero-shot", text)


def _trainer(seeds):
    """The accuracy of TextClassifier minus that of transformers.Trainer, on the same rows."""
    from benchmarks.text_training import quiet, transformers_fit

    quiet()
    differences, accuracies = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            X, y = issues("Description", seed)
            names, codes = np.unique(y, return_inverse=True)
            ours = TextClassifier(random_state=seed).fit(X[:N_TRAIN], codes[:N_TRAIN])
            model, tokenizer = transformers_fit(
                X[:N_TRAIN], codes[:N_TRAIN], len(names), folder, seed=seed
            )
            right = ours.predict(X[N_TRAIN:]) == codes[N_TRAIN:]
            theirs = _predictions(model, tokenizer, X[N_TRAIN:]) == codes[N_TRAIN:]
            differences.append(right.astype(float) - theirs)
            accuracies.append((right.mean(), theirs.mean()))
    together = np.concatenate(differences)
    draws = np.random.default_rng(0).choice(together, (2000, len(together))).mean(axis=1)
    low, high = np.quantile(draws, [0.05, 0.95])
    ours, theirs = np.mean(accuracies, axis=0)
    met = "met" if high >= 0 else "MISSED"
    return _row(
        f"issue descriptions, {N_TRAIN} train: accuracy {ours:.3f}",
        f"transformers.Trainer, the same rows, epochs and rate: {theirs:.3f}",
        f"{together.mean():+.3f} [{low:+.3f}, {high:+.3f}] (not lower: {met})",
    )


def _predictions(model, tokenizer, texts):
    model.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), 32):
            batch = tokenizer(
                texts[start : start + 32].tolist(),
                truncation=True,
                max_length=128,
                padding=True,
                return_tensors="pt",
            )
            found.append(model(**batch).logits.argmax(1).numpy())
    return np.concatenate(found)
