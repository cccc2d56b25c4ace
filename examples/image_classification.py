"""Photographs to classes, and the worst mistakes
==============================================

A new task from a few hundred photographs, in seconds; and where it goes wrong.

Brick, grass and gravel: scikit-image's three textures, cut into tiles. In place of ``load_tiles()``
you can have your own folder: a list of paths, and a list of labels.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import skimage.data
from sklearn.metrics import ConfusionMatrixDisplay, classification_report
from sklearn.model_selection import cross_val_predict, train_test_split

from sklearn_dl import ImageClassifier
from sklearn_dl.inspection import ImageGridDisplay


def load_tiles(size=32):
    """Tiles of the textures, made harder by noise, and the names of the textures."""
    rng = np.random.default_rng(0)
    tiles, labels = [], []
    for name in ("brick", "grass", "gravel"):
        texture = getattr(skimage.data, name)().astype(float)
        for row in range(0, 512 - size, 48):
            for column in range(0, 512 - size, 48):
                tile = texture[row : row + size, column : column + size]
                tile = tile + rng.normal(0, 50, tile.shape)
                tiles.append(tile.clip(0, 255).astype(np.uint8))
                labels.append(name)
    return tiles, np.array(labels)


tiles, labels = load_tiles()
print(f"{len(tiles)} tiles of {tiles[0].shape[0]} x {tiles[0].shape[1]} pixels")

# %%
# The network is left as it is; only a logistic regression on its features is solved. Each tile is
# predicted by a classifier that has not seen it.
clf = ImageClassifier(image_size=64)
started = time.perf_counter()
probabilities = cross_val_predict(clf, tiles, labels, cv=3, method="predict_proba")
print(f"three fits and predictions: {time.perf_counter() - started:.1f} s")
predicted = np.unique(labels)[probabilities.argmax(axis=1)]
print(classification_report(labels, predicted))

# %%
# What is taken for what.
ConfusionMatrixDisplay.from_predictions(labels, predicted)
plt.show()

# %%
# The worst mistakes: those that it was surest of. Look at them before anything else is tuned; with
# photographs of your own some turn out to be mistakes of the labels.
sure = probabilities.max(axis=1)
wrong = np.flatnonzero(predicted != labels)
worst = wrong[sure[wrong].argsort()[::-1]][:10]
captions = [[f"is {labels[i]}", f"taken for {predicted[i]} {sure[i]:.2f}"] for i in worst]
ImageGridDisplay.from_predictions([tiles[i] for i in worst], captions)
plt.show()

# %%
# Freeze or fine-tune? Freeze first: it takes seconds, has nothing to tune but ``C``, and is hard to
# beat with a few hundred photographs that look like photographs. Fine-tune where the pictures look
# unlike those that the network knows (microscopes, drawings, satellites), where there are
# thousands of them, or where the frozen features leave you short; and compare on rows held out.
X_train, X_test, y_train, y_test = train_test_split(
    tiles, labels, test_size=0.5, random_state=0, stratify=labels
)
for layers, epochs in ((0, 1), (3, 2)):
    clf = ImageClassifier(image_size=64, trainable_layers=layers, max_epochs=epochs, random_state=0)
    started = time.perf_counter()
    clf.fit(X_train, y_train)
    seconds = time.perf_counter() - started
    print(f"trainable_layers={layers}: {clf.score(X_test, y_test):.3f} after {seconds:.1f} s")
