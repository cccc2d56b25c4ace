"""Texts for the benchmarks."""

import csv
import zipfile

import numpy as np

from benchmarks._shared import data


def _table(name, **options):
    with data(f"text/{name}").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", **options))


def polarity(seed):
    """10,662 sentences of film reviews in random order, and "pos" or "neg"."""
    texts, labels = [], []
    with zipfile.ZipFile(data("text/sentence_polarity.zip")) as archive:
        for label in ("pos", "neg"):
            (name,) = (n for n in archive.namelist() if n.endswith(f".{label}"))
            lines = archive.read(name).decode("latin-1").splitlines()
            lines = [line.strip() for line in lines if line.strip()]
            texts += lines
            labels += [label] * len(lines)
    return _shuffled(texts, labels, seed)


def reviews(seed):
    """2,000 film reviews of about 750 words in random order, and "pos" or "neg"."""
    texts, labels = [], []
    with zipfile.ZipFile(data("text/movie_reviews.zip")) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".txt")):
            texts.append(archive.read(name).decode("latin-1"))
            labels.append(name.split("/")[-2])
    return _shuffled(texts, labels, seed)


def issues(field, seed):
    """1,615 titles or descriptions of GitHub issues in random order, and their 22 areas."""
    rows = _table("corefx-issues-train.tsv")
    return _shuffled([row[field] or "" for row in rows], [row["Area"] for row in rows], seed)


def similarities(part):
    """Pairs of sentences, their similarities from 0 to 5, and their sources."""
    rows = _table(f"stsb_ccbysa_{part}.tsv", quoting=csv.QUOTE_NONE)
    pairs = np.array([[row["sentence1"], row["sentence2"]] for row in rows], dtype=object)
    scores = np.array([float(row["score"]) for row in rows])
    return pairs, scores, np.array([row["file"] for row in rows])


def emotions(part):
    """2,000 comments, and a column of 0 and 1 for each of 28 labels; `part` is "train" or "dev"."""
    lines = data(f"text/goemotions/{part}.tsv").read_text("utf8").split("\n")[:2000]
    texts, numbers = zip(*(line.split("\t")[:2] for line in lines), strict=True)
    y = np.zeros((len(texts), 28), dtype=int)
    for row, labels in enumerate(numbers):
        y[row, list(map(int, labels.split(",")))] = 1
    return list(texts), y


def _shuffled(texts, labels, seed):
    order = np.random.default_rng(seed).permutation(len(texts))
    return np.array(texts, dtype=object)[order], np.array(labels)[order]
