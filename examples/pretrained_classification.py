"""Label images, some of them unreadable
=====================================

A pretrained network classifies the images of a folder. The pipeline needs no fit. Images are
decoded and scored in small batches, so memory stays constant, even for 100,000 images.
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
# The table has images of scikit-image and their labels, and a file that is not an image. For your
# own images, use ``pd.read_csv("mine.csv")``, and the folder that the paths start from.
folder = Path(skimage.data_dir)
images = pd.DataFrame(
    {
        "file": ["chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "README.txt"],
        "label": ["tabby", "espresso", "missile", "moped", "unreadable"],
    }
)

# %%
# The card of a network says what it is for, and how its pixels must be scaled.
card = model_card("efficientnet-lite0")
print(card.task, "|", card.license, "|", card.preprocessing)

# %%
# ``root`` allows only paths inside one folder. With ``on_error="nan"``, a file that cannot be read
# gets the label "unreadable", and a warning. With the default, "raise", an error names the row and
# the path.
pipe = make_pipeline(
    ImageLoader(root=folder, on_error="nan"),
    ImageResizer(224, 224),
    PixelExtractor(offset=127, scale=1 / 128),
    OnnxScorer("efficientnet-lite0", outputs="logits"),
    ScoreClassifier(card.labels, activation="softmax", on_error="nan", missing="unreadable"),
)
with warnings.catch_warnings(record=True, action="always") as caught:
    images["predicted"] = pipe.predict(images["file"])
print(images.to_string(index=False))
print("accuracy:", accuracy_score(images["label"], images["predicted"]))
print("warning:", str(caught[0].message).replace(str(folder), "..."))

# %%
# :meth:`~sklearn_dl.ScoreClassifier.top_k` returns the best labels of each image. Here it gets the
# images that can be read.
files = images["file"][images["predicted"] != "unreadable"]
labels, scores = pipe[-1].top_k(pipe[:-1].transform(files), 3)
ImageGridDisplay.from_predictions([folder / file for file in files], labels, scores, n_columns=4)
plt.show()
