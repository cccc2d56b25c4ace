"""Learning in steps: rows that arrive over time
=============================================

Each call of ``partial_fit`` continues the training on new rows. It does not need the rows of
earlier calls, so all rows together need not fit into memory.

The texts are the first sentences of docstrings (``_docstrings.py``). For a file of your own, use
``for chunk in pandas.read_csv("mine.csv", chunksize=100): ...``
"""

import matplotlib.pyplot as plt
from _docstrings import load_docstrings
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from sklearn_dl import TextClassifier

table = load_docstrings()
train, test = train_test_split(table, train_size=500, test_size=300, random_state=0)
classes = sorted(table["label"].unique())

# %%
# The first call needs the list of all classes, because its rows may lack some of them.
# ``verbose=1`` shows a bar.
clf = TextClassifier(trainable_layers=2, max_epochs=1, random_state=0)
accuracies = []
for start in range(0, len(train), 100):
    chunk = train[start : start + 100]
    clf.set_params(verbose=int(start == 0))
    clf.partial_fit(chunk["text"], chunk["label"], classes=classes)
    accuracies.append(clf.score(test["text"], test["label"]))
    print(f"after {start + len(chunk)} rows: accuracy {accuracies[-1]:.3f}")

# %%
# For comparison, fit one epoch on all rows at once.
at_once = clone(clf).set_params(verbose=0).fit(train["text"], train["label"])
accuracy = at_once.score(test["text"], test["label"])
print(f"all {len(train)} rows at once: accuracy {accuracy:.3f}")

_, axes = plt.subplots(layout="constrained")
axes.plot(range(100, len(train) + 1, 100), accuracies, marker="o", label="partial_fit")
axes.axhline(accuracy, linestyle="--", label="fit, one epoch on all rows")
axes.set(xlabel="training rows so far", ylabel="accuracy on test rows", ylim=(0, 1))
axes.legend(loc="lower right")
plt.show()

# %%
# Shuffle the rows. If the training continues with rows of only one class, the network forgets the
# other classes.
one = train[train["label"] == "scipy"][:100]
forgetful = clone(clf).set_params(verbose=0)
for rows in (train[:100], one, one, one):
    forgetful.partial_fit(rows["text"], rows["label"], classes=classes)
    print(f"accuracy {forgetful.score(test['text'], test['label']):.3f}")
