"""Frozen or fine-tuned? Learning curves
=====================================

How many labelled texts do you need before it pays to fine-tune an encoder?

The texts are the first sentences of docstrings, and the classes are four libraries
(``_docstrings.py``). For your own texts, use ``table = pandas.read_csv("mine.csv")``, with the
columns ``text`` and ``label``.
"""

import tempfile
import time

import matplotlib.pyplot as plt
from _docstrings import load_docstrings
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LearningCurveDisplay, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline

from sklearn_dl import TextClassifier

table = load_docstrings()

# %%
# There are three rivals: TF-IDF, which counts words; a frozen encoder, with a logistic regression
# on its embeddings, which ``memory`` keeps between fits; and an encoder whose last two layers are
# trained too, starting from that logistic regression. (The default, ``trainable_layers="all"``,
# takes longer.)
folder = tempfile.TemporaryDirectory()
rivals = {
    "TF-IDF": make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10)),
    "frozen": TextClassifier(trainable_layers=0, memory=folder.name),
    "fine-tuned": TextClassifier(trainable_layers=2, max_epochs=2, random_state=0),
}

# %%
# Each rival is fitted on 50, 150 and 450 sentences and scored on 200 others, for two splits.
_, axes = plt.subplots(layout="constrained")
for name, rival in rivals.items():
    started = time.perf_counter()
    display = LearningCurveDisplay.from_estimator(
        rival,
        table["text"],
        table["label"],
        train_sizes=[50, 150, 450],
        cv=StratifiedShuffleSplit(2, train_size=450, test_size=200, random_state=0),
        score_type="test",
        score_name="accuracy",
        std_display_style="errorbar",
        ax=axes,
    )
    display.errorbar_[0].set_label(name)
    seconds = time.perf_counter() - started
    print(f"{name:>10} {display.test_scores.mean(axis=1).round(3)} after {seconds:.1f} s")
folder.cleanup()
axes.legend(loc="lower right")
plt.show()

# %%
# With few sentences, pretraining helps most: both curves of the encoder are far above that of
# TF-IDF. With more sentences, TF-IDF reaches the frozen encoder, because many words in docstrings
# are typical of one library. The fine-tuned encoder is within a few hundredths of the best of
# the others, and takes the most time. The bars show the deviation of only two splits, so do not
# trust the order of curves whose bars overlap.
