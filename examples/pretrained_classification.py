"""Photographs to labels, some of them unreadable
==============================================

A pretrained classifier on a folder of photographs. The pipeline needs no fit. Photographs are
decoded while others are scored, so a folder of 100,000 takes the memory of a few.
"""

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import skimage
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor, ScoreClassifier
from sklearn_dl.inspection import ImageGridDisplay
from sklearn_dl.models import model_card

# %%
# Photographs that scikit-image carries, what is on them, and a file that is no photograph. With
# your own: ``pd.read_csv("mine.csv")``, and as ``folder`` the one that the paths start from.
folder = Path(skimage.data_dir)
photos = pd.DataFrame(
    {
        "file": ["chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "README.txt"],
        "label": ["tabby", "espresso", "missile", "moped", "unreadable"],
    }
)

# %%
# A card says what a network is for, and what it wants to see.
card = model_card("efficientnet-lite0")
print(card.task, "|", card.license, "|", card.preprocessing)

# %%
# ``root`` keeps the paths inside one folder. With ``on_error="nan"`` a file that cannot be read
# costs a warning and its own row; with the default, "raise", an error that names row and path.
pipe = make_pipeline(
    ImageLoader(root=folder, on_error="nan"),
    ImageResizer(224, 224),
    PixelExtractor(offset=127, scale=1 / 128),
    OnnxScorer("efficientnet-lite0", outputs="logits"),
    ScoreClassifier(card.labels, activation="softmax", on_error="nan", missing="unreadable"),
)
with warnings.catch_warnings(record=True, action="always") as caught:
    photos["predicted"] = pipe.predict(photos["file"])
print(photos.to_string(index=False))
print("accuracy:", accuracy_score(photos["label"], photos["predicted"]))
print("warning:", str(caught[0].message).replace(str(folder), "..."))

# %%
# :meth:`~sklearn_dl.ScoreClassifier.top_k` gives the runners-up; here of those that can be read.
files = photos["file"][photos["predicted"] != "unreadable"]
labels, scores = pipe[-1].top_k(pipe[:-1].transform(files), 3)
ImageGridDisplay.from_predictions([folder / file for file in files], labels, scores, n_columns=4)
plt.show()
