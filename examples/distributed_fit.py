"""One fit by two processes
========================

Which library does a sentence document? Two processes, on one machine or on two, train one model.

.. code-block:: bash

    torchrun --nproc-per-node 2 examples/distributed_fit.py

or, by one, ``python examples/distributed_fit.py``. Each process runs this whole script with the
same rows; ``fit`` shares every batch out among them, and all end with the same weights. Across
machines it is torchrun's ``--nnodes`` and ``--rdzv-endpoint``. In place of the docstrings you can
have your own table: ``pandas.read_csv("mine.csv")``, the same in every process.
"""

import os

from _docstrings import load_docstrings
from sklearn.model_selection import train_test_split

from sklearn_dl import TextClassifier

sentences = load_docstrings()
sentences = sentences[sentences["label"].isin(["numpy", "pandas"])].sample(240, random_state=0)
train, test = train_test_split(sentences, stratify=sentences["label"], random_state=0)

clf = TextClassifier(trainable_layers=1, max_epochs=1, random_state=0)
clf.fit(train["text"], train["label"])

if os.environ.get("RANK", "0") == "0":
    accuracy = clf.score(test["text"], test["label"])
    print(f"{len(train)} sentences trained on, accuracy on {len(test)} others: {accuracy:.2f}")
