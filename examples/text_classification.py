"""Texts to classes
================

Which library does a sentence describe?

The sentences are the first ones of docstrings (``_docstrings.py``). With a table of your own:
``table = pd.read_csv("mine.csv")``, with the columns ``text`` and ``label``.
"""

import time

import matplotlib.pyplot as plt
from _docstrings import load_docstrings
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

from sklearn_dl import TextClassifier
from sklearn_dl.inspection import TrainingCurveDisplay

# %%
# Ten lines: a table, a split, a fit, a score. :doc:`frozen_or_fine_tuned` asks whether training
# the encoder is worth it.
table = load_docstrings()
X_train, X_test, y_train, y_test = train_test_split(
    table["text"], table["label"], train_size=600, test_size=400, random_state=0
)
clf = TextClassifier(early_stopping=True, random_state=0)
started = time.perf_counter()
clf.fit(X_train, y_train)
print(f"{len(X_train)} sentences: {time.perf_counter() - started:.1f} s")
print(f"accuracy on {len(X_test)} others: {clf.score(X_test, y_test):.3f}")

# %%
# A tenth of the rows was held out, to choose the epoch whose weights are kept. The training loss
# goes on falling when there is nothing more to gain on them.
_, axes = plt.subplots(layout="constrained")
display = TrainingCurveDisplay.from_estimator(clf, ax=axes)
display.score_ax_.set_ylim(0, 1)
plt.show()

# %%
# What is taken for what.
ConfusionMatrixDisplay.from_estimator(clf, X_test, y_test)
plt.show()

# %%
# What it says of sentences that nobody wrote yet.
news = ["Fit a forest of decision trees.", "Drop rows whose index is repeated."]
for text, label, chances in zip(news, clf.predict(news), clf.predict_proba(news), strict=True):
    print(f"{label:>8} {chances.max():.2f}  {text}")
