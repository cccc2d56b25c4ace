"""Texts to classes: which library does a sentence describe?

The sentences are the first ones of docstrings (`_docstrings.py`). With a table of your own:
``table = pd.read_csv("mine.csv")``, with the columns ``text`` and ``label``.
"""

import tempfile
import time
from pathlib import Path

import matplotlib
from _docstrings import load_docstrings
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_dl import TextClassifier
from sklearn_dl.inspection import TrainingCurveDisplay

# %%
# Ten lines: a table, a split, a fit, a score.
table = load_docstrings()
X_train, X_test, y_train, y_test = train_test_split(
    table["text"], table["label"], train_size=600, test_size=600, random_state=0
)
clf = TextClassifier(early_stopping=True, random_state=0)
started = time.perf_counter()
clf.fit(X_train, y_train)
seconds = time.perf_counter() - started
print(f"fine-tuned       {clf.score(X_test, y_test):.3f}  ({seconds:.1f} s)")

# %%
# On the same rows: the encoder as it is, with a logistic regression on its vectors; and words.
frozen = TextClassifier(trainable_layers=0).fit(X_train, y_train)
print(f"frozen           {frozen.score(X_test, y_test):.3f}")
words = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=1000))
print(f"TF-IDF           {words.fit(X_train, y_train).score(X_test, y_test):.3f}")

# %%
# What it says of sentences that nobody wrote yet.
news = ["Fit a forest of decision trees.", "Drop rows whose index is repeated."]
for text, label, chances in zip(news, clf.predict(news), clf.predict_proba(news), strict=True):
    print(f"{label:>8} {chances.max():.2f}  {text}")

# %%
# The rows that were held out to choose the epoch.
matplotlib.use("Agg")
picture = Path(tempfile.mkdtemp()) / "training_curve.png"
TrainingCurveDisplay.from_estimator(clf).figure_.savefig(picture)
print(f"epoch {clf.best_epoch_} of {len(clf.history_['epoch'])} was kept: {picture}")
