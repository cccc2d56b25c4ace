"""Classify texts
==============

Which library does a sentence describe?

The texts are the first sentences of docstrings (``_docstrings.py``). For your own texts, use
``table = pandas.read_csv("mine.csv")``, with the columns ``text`` and ``label``.
"""

import time

import matplotlib.pyplot as plt
from _docstrings import load_docstrings
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

from sklearn_dl import TextClassifier
from sklearn_dl.inspection import TrainingCurveDisplay

# %%
# Split the table, fit a classifier and score it. The example :doc:`frozen_or_fine_tuned` asks
# whether the encoder needs training at all.
table = load_docstrings()
X_train, X_test, y_train, y_test = train_test_split(
    table["text"], table["label"], train_size=500, test_size=300, random_state=0
)
clf = TextClassifier(early_stopping=True, random_state=0)
started = time.perf_counter()
clf.fit(X_train, y_train)
print(f"{len(X_train)} sentences: {time.perf_counter() - started:.1f} s")
print(f"accuracy on {len(X_test)} others: {clf.score(X_test, y_test):.3f}")

# %%
# ``early_stopping`` held out a tenth of the rows, and kept the weights of the epoch with the best
# score on them. The training loss still falls when this score no longer improves.
_, axes = plt.subplots(layout="constrained")
display = TrainingCurveDisplay.from_estimator(clf, ax=axes)
display.score_ax_.set_ylim(0, 1)
plt.show()

# %%
# Which libraries does it confuse?
ConfusionMatrixDisplay.from_estimator(clf, X_test, y_test)
plt.show()

# %%
# Predict the library of new sentences.
news = ["Fit a forest of decision trees.", "Drop rows whose index is repeated."]
for text, label, chances in zip(news, clf.predict(news), clf.predict_proba(news), strict=True):
    print(f"{label:>8} {chances.max():.2f}  {text}")
