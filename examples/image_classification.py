"""Classify images, and look at the worst mistakes
===============================================

A classifier learns three classes from a few hundred images, in seconds. Which images does it get
wrong?

The images are tiles of three textures of scikit-image: brick, grass and gravel. For images of your
own, use a list of paths and a list of labels instead of ``load_tiles()``.
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
    """Return tiles of the textures, with noise, and the names of the textures."""
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
# The network is frozen: only a logistic regression is fitted to its features. In the
# cross-validation, each tile is predicted by a classifier that has not been trained on it.
clf = ImageClassifier(image_size=64)
started = time.perf_counter()
probabilities = cross_val_predict(clf, tiles, labels, cv=3, method="predict_proba")
print(f"three fits and predictions: {time.perf_counter() - started:.1f} s")
predicted = np.unique(labels)[probabilities.argmax(axis=1)]
print(classification_report(labels, predicted))

# %%
# Which classes does it confuse?
ConfusionMatrixDisplay.from_predictions(labels, predicted)
plt.show()

# %%
# The worst mistakes are the wrong predictions with the highest probabilities. Look at them before
# you tune anything: in your own data, some of the labels may turn out to be wrong.
sure = probabilities.max(axis=1)
wrong = np.flatnonzero(predicted != labels)
worst = wrong[sure[wrong].argsort()[::-1]][:10]
captions = [[f"true: {labels[i]}", f"predicted: {predicted[i]} {sure[i]:.2f}"] for i in worst]
ImageGridDisplay.from_predictions([tiles[i] for i in worst], captions)
plt.show()

# %%
# Frozen or fine-tuned? Try the frozen network first. It takes seconds, and you only tune ``C``.
# With a few hundred images, fine-tuning is often no better. Fine-tune if your images look unlike
# those of ImageNet (drawings, or images of microscopes and satellites), if you have thousands of
# them, or if frozen features are not good enough. Compare both on rows that were held out.
X_train, X_test, y_train, y_test = train_test_split(
    tiles, labels, test_size=0.5, random_state=0, stratify=labels
)
for layers, epochs in ((0, 1), (3, 2)):
    clf = ImageClassifier(image_size=64, trainable_layers=layers, max_epochs=epochs, random_state=0)
    started = time.perf_counter()
    clf.fit(X_train, y_train)
    seconds = time.perf_counter() - started
    print(f"trainable_layers={layers}: {clf.score(X_test, y_test):.3f} after {seconds:.1f} s")
