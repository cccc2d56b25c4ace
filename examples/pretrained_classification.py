"""A pretrained classifier on a folder of photographs, some of which cannot be read.

The pipeline needs no fit. Photographs are decoded while others are scored, so a folder of 100,000
takes the memory of a few.
"""

from pathlib import Path

import pandas as pd
import skimage
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor, ScoreClassifier
from sklearn_dl.models import model_card

# %%
# Photographs that scikit-image carries, what is on them, and a file that is no photograph.
photos = pd.DataFrame(
    {
        "file": ["chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "README.txt"],
        "label": ["tabby", "espresso", "missile", "moped", "unreadable"],
    }
)

# %%
# `root` keeps the paths inside one folder. With ``on_error="nan"`` a file that cannot be read costs
# a warning and its own row; with the default, "raise", an error that names row and path.
card = model_card("efficientnet-lite0")
print(card.task, "|", card.license, "|", card.preprocessing)
pipe = make_pipeline(
    ImageLoader(root=Path(skimage.data_dir), on_error="nan"),
    ImageResizer(224, 224),
    PixelExtractor(offset=127, scale=1 / 128),
    OnnxScorer("efficientnet-lite0", outputs="logits"),
    ScoreClassifier(card.labels, activation="softmax", missing="unreadable"),
)
photos["predicted"] = pipe.predict(photos["file"])
photos["probability"] = pipe.predict_proba(photos["file"]).max(axis=1)
print(photos.to_string(index=False))
print("accuracy:", accuracy_score(photos["label"], photos["predicted"]))

# %%
# `top_k` gives the runners-up.
labels, scores = pipe[-1].top_k(pipe[:-1].transform(photos["file"][:1]), 3)
print(dict(zip(labels[0], scores[0].round(2).tolist(), strict=True)))
