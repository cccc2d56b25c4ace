"""Several labels for each text: which sections does a docstring have?
====================================================================

A docstring may have sections such as notes, references and examples, or none of them. Can they be
predicted from its first sentence?

The texts are the first sentences of docstrings (``_docstrings.py``). For your own texts, use
``table = pd.read_csv("mine.csv")``, with a column ``text``, and a column of 0 and 1 for each label.
"""

import matplotlib.pyplot as plt
import pandas as pd
from _docstrings import load_docstrings
from sklearn.dummy import DummyClassifier
from sklearn.metrics import average_precision_score, classification_report, f1_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MultiLabelBinarizer

from sklearn_dl import TextClassifier

# %%
# Lists of labels become a matrix with a column for each label. The matrix is `y`.
table = load_docstrings()
binarizer = MultiLabelBinarizer()
labels = binarizer.fit_transform(table["sections"])
print(pd.DataFrame(labels, columns=binarizer.classes_).mean().round(2).to_string())
X_train, X_test, y_train, y_test = train_test_split(
    table["text"], labels, train_size=500, test_size=500, random_state=0
)

# %%
# With a frozen encoder, a logistic regression is fitted for each label. The dummy ignores the
# sentences: it predicts a label if most rows have it.
frozen = TextClassifier(trainable_layers=0).fit(X_train, y_train)
dummy = DummyClassifier(strategy="most_frequent").fit(X_train, y_train)
for name, clf in {"most frequent": dummy, "frozen": frozen}.items():
    print(f"{name}: micro F1 {f1_score(y_test, clf.predict(X_test), average='micro'):.2f}")

# %%
# Fine-tuning: all layers are trained, with one loss for all labels.
tuned = TextClassifier(random_state=0).fit(X_train, y_train)
predicted = tuned.predict(X_test)
print(f"fine-tuned: micro F1 {f1_score(y_test, predicted, average='micro'):.2f}")
print(classification_report(y_test, predicted, target_names=binarizer.classes_, zero_division=0))

# %%
# The average precision says how well the probabilities of a label rank the sentences. A random
# order would reach the share of sentences that have the label.
precision = pd.DataFrame(
    {
        "share of the label": y_test.mean(axis=0),
        "frozen": average_precision_score(y_test, frozen.predict_proba(X_test), average=None),
        "fine-tuned": average_precision_score(y_test, tuned.predict_proba(X_test), average=None),
    },
    index=binarizer.classes_,
)
precision.plot.barh(xlabel="average precision", xlim=(0, 1))
plt.tight_layout()
plt.show()
