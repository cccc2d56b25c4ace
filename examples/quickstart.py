"""Quickstart
==========

A pretrained ImageNet network labels images, and a text classifier is trained.

.. code-block:: bash

    pip install -e ".[demo]"  # in a checkout of the repository: there is no release yet

This page is a script and a notebook: run ``python examples/quickstart.py``, or open the notebook in
Jupyter (the links are at the end of the page). Images, texts and the network come with installed
packages, so nothing is downloaded. The network is exported to ONNX in the first run (about 15
seconds, once).
"""

import inspect
import re
import tempfile
import time
from pathlib import Path
from textwrap import shorten

import numpy as np
import pandas as pd
import scipy
import skimage
import sklearn.datasets
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_dl import (
    ImageLoader,
    ImageResizer,
    OnnxScorer,
    PixelExtractor,
    ScoreClassifier,
    TextClassifier,
)
from sklearn_dl.inspection import ImageGridDisplay
from sklearn_dl.models import model_card

# %%
# Label images
# ------------
# The image steps only note what to do with an image. The scorer computes the pixels, batch by
# batch. :class:`~sklearn_dl.ScoreClassifier` turns the scores of the network into labels. For your
# own images, change the list of paths.

sklearn_images = Path(sklearn.datasets.__file__).parent / "images"
skimage_images = Path(skimage.data_dir)
images = [
    sklearn_images / "china.jpg",
    sklearn_images / "flower.jpg",
    skimage_images / "chelsea.png",
    skimage_images / "coffee.png",
    skimage_images / "rocket.jpg",
    skimage_images / "motorcycle_left.png",
    skimage_images / "camera.png",
]

pipe = make_pipeline(
    ImageLoader(),
    ImageResizer(224, 224),
    PixelExtractor(offset=127, scale=1 / 128),
    OnnxScorer("efficientnet-lite0", outputs="logits"),
    ScoreClassifier(model_card("efficientnet-lite0").labels, activation="softmax"),
)
print("loading the network (exported to ONNX in the first run) ...")
pipe.predict(images[:1])

started = time.perf_counter()
labels, scores = pipe[-1].top_k(pipe[:-1].transform(images), 3)
seconds = time.perf_counter() - started

for image, best, score in zip(images, labels, scores, strict=True):
    guesses = ", ".join(f"{label} {s:.2f}" for label, s in zip(best, score, strict=True))
    print(f"{image.name:>20}  {guesses}")
print(f"{len(images)} images in {seconds:.2f} s")

display = ImageGridDisplay.from_predictions(images, labels, scores, n_columns=4)
contact_sheet = Path(tempfile.mkdtemp()) / "contact_sheet.png"
display.figure_.savefig(contact_sheet)
print(f"contact sheet: {contact_sheet}")

# %%
# Train a text classifier
# -----------------------
# Which library does a sentence describe? The texts are sentences from the docstrings of installed
# libraries. For your own texts, use ``pd.read_csv("mine.csv")``, with the columns ``text`` and
# ``label``.

libraries = {
    "numpy": [np, np.linalg, np.ma],
    "pandas": [pd, pd.DataFrame, pd.Series, pd.DatetimeIndex],
    "scipy": [scipy.linalg, scipy.signal, scipy.special, scipy.stats],
}
first_sentence = re.compile(r"^[A-Z][^.]{20,150}\.$", re.MULTILINE)
rows = [
    (" ".join(found[0].split()), library)
    for library, places in libraries.items()
    for place in places
    for name in sorted(dir(place))
    if not name.startswith("_")
    and (found := first_sentence.search(inspect.getdoc(getattr(place, name)) or ""))
]
table = pd.DataFrame(rows, columns=["text", "label"]).drop_duplicates("text")

# %%
# A :class:`~sklearn_dl.TextClassifier` is fitted to texts and labels like any other classifier.

X_train, X_test, y_train, y_test = train_test_split(
    table["text"], table["label"], train_size=400, test_size=400, random_state=1
)
print(f"training on {len(X_train)} of {len(table)} sentences ...")
started = time.perf_counter()
clf = TextClassifier(random_state=0).fit(X_train, y_train)
seconds = time.perf_counter() - started
for text, label in zip(X_test[:4], clf.predict(X_test[:4]), strict=True):
    print(f"{label:>20}  {shorten(text, 80)}")
accuracy = clf.score(X_test, y_test)
print(f"accuracy on {len(X_test)} other sentences: {accuracy:.0%}, trained in {seconds:.1f} s")
