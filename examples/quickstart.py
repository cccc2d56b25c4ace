"""Quickstart
==========

A pretrained ImageNet network labels images, and a text classifier is trained.

.. code-block:: bash

    python examples/quickstart.py [image ...] [--output contact_sheet.png]

Without arguments, the script uses images of scikit-learn and scikit-image. The network comes in a
package, and is exported to ONNX in the first run (about 15 seconds, once). The texts are the first
sentences of docstrings (``_docstrings.py``). For your own texts, use ``pd.read_csv("mine.csv")``,
with the columns ``text`` and ``label``.
"""

import argparse
import time
from pathlib import Path
from textwrap import shorten

import skimage
import sklearn.datasets
from _docstrings import load_docstrings
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

SKLEARN_IMAGES = Path(sklearn.datasets.__file__).parent / "images"
SKIMAGE_IMAGES = Path(skimage.data_dir)
PACKAGED = [
    SKLEARN_IMAGES / "china.jpg",
    SKLEARN_IMAGES / "flower.jpg",
    SKIMAGE_IMAGES / "chelsea.png",
    SKIMAGE_IMAGES / "coffee.png",
    SKIMAGE_IMAGES / "rocket.jpg",
    SKIMAGE_IMAGES / "motorcycle_left.png",
    SKIMAGE_IMAGES / "camera.png",
]


def main():
    parser = argparse.ArgumentParser(
        description="Label images with a pretrained ImageNet network, and train a text classifier."
    )
    parser.add_argument("images", nargs="*", type=Path, default=PACKAGED)
    parser.add_argument("--output", type=Path, default=Path("contact_sheet.png"))
    arguments = parser.parse_args()
    label_images(arguments.images, arguments.output)
    classify_texts()


# %%
# The image steps only note what to do with an image. The scorer computes the pixels, batch by
# batch.
# :class:`~sklearn_dl.ScoreClassifier` turns the scores of the network into labels.


def label_images(images, output):
    imagenet_labels = model_card("efficientnet-lite0").labels
    pipe = make_pipeline(
        ImageLoader(),
        ImageResizer(224, 224),
        PixelExtractor(offset=127, scale=1 / 128),
        OnnxScorer("efficientnet-lite0", outputs="logits"),
        ScoreClassifier(imagenet_labels, activation="softmax"),
    )
    print("loading the network (exported to ONNX at the first run) ...")
    pipe.predict(images[:1])

    started = time.perf_counter()
    labels, scores = pipe[-1].top_k(pipe[:-1].transform(images), 3)
    seconds = time.perf_counter() - started

    for image, best, score in zip(images, labels, scores, strict=True):
        guesses = ", ".join(f"{label} {s:.2f}" for label, s in zip(best, score, strict=True))
        print(f"{image.name:>20}  {guesses}")
    print(f"{len(images)} images in {seconds:.2f} s")

    display = ImageGridDisplay.from_predictions(images, labels, scores, n_columns=4)
    display.figure_.savefig(output)
    print(f"contact sheet: {output.resolve()}")


# %%
# A :class:`~sklearn_dl.TextClassifier` is fitted to texts and labels like any other classifier.


def classify_texts():
    table = load_docstrings()
    X_train, X_test, y_train, y_test = train_test_split(
        table["text"], table["label"], train_size=400, test_size=400, random_state=1
    )
    print(f"\nwhich library does a sentence describe? training on {len(X_train)} sentences ...")
    started = time.perf_counter()
    clf = TextClassifier(random_state=0).fit(X_train, y_train)
    seconds = time.perf_counter() - started
    for text, label in zip(X_test[:4], clf.predict(X_test[:4]), strict=True):
        print(f"{label:>20}  {shorten(text, 80)}")
    accuracy = clf.score(X_test, y_test)
    print(f"accuracy on {len(X_test)} other sentences: {accuracy:.0%}, trained in {seconds:.1f} s")


# %%
# Run both. The output and the contact sheet are below.
if __name__ == "__main__":
    main()
