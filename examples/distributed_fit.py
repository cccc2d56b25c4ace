"""Fit one estimator with two processes
====================================

Which library does a sentence describe? Two processes, on one or two machines, train one network.

.. code-block:: bash

    torchrun --nproc-per-node 2 examples/distributed_fit.py

To use one process, run ``python examples/distributed_fit.py``. Each process runs this whole script
with the same rows. ``fit`` divides each batch among the processes, and all of them end with the
same weights. With several machines, add torchrun's ``--nnodes`` and ``--rdzv-endpoint``. For your
own texts, use ``pandas.read_csv("mine.csv")``, with the same table in every process.
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
    print(f"{len(train)} training sentences, accuracy on {len(test)} others: {accuracy:.2f}")
