"""Photographs beside numbers and categories, in one ColumnTransformer.

Tiles of three surfaces that scikit-image carries. Each row has a photograph, two numbers and a
category, as a table from a database would; the image column goes through the network, the others
through what one always used.
"""

import numpy as np
import pandas as pd
from skimage import data
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor

rng = np.random.default_rng(0)
rows = []
for surface, texture in {
    "brick": data.brick(),
    "grass": data.grass(),
    "gravel": data.gravel(),
}.items():
    for top in range(0, 512, 128):
        for left in range(0, 512, 64):
            rows.append(
                {
                    "photo": texture[top : top + 64, left : left + 64],
                    "temperature": rng.normal(20 if surface == "brick" else 15, 4),
                    "height": float(top),
                    "camera": rng.choice(["north", "south"]),
                    "surface": surface,
                }
            )
table = pd.DataFrame(rows).sample(frac=1, random_state=0)  # an index out of order, as in real life
print(table.drop(columns="photo").head().to_string())

# %%
# Ordinary steps for ordinary columns, the network for the photographs.
image_features = make_pipeline(
    ImageLoader(),
    ImageResizer(96, 96),
    PixelExtractor(offset=127, scale=1 / 128),
    OnnxScorer("efficientnet-lite0", outputs="features"),
    StandardScaler(),
)
columns = make_column_transformer(
    (image_features, ["photo"]),
    (StandardScaler(), ["temperature", "height"]),
    (OneHotEncoder(sparse_output=False), ["camera"]),
    verbose_feature_names_out=False,
)
for name, estimator in {
    "numbers only": make_pipeline(StandardScaler(), LogisticRegression()),
    "with photographs": make_pipeline(columns, LogisticRegression(max_iter=1000)),
}.items():
    X = table[["temperature", "height"]] if name == "numbers only" else table
    scores = cross_validate(estimator, X, table["surface"], cv=4, scoring="accuracy")
    print(f"{name:>17}: accuracy {scores['test_score'].mean():.3f}")

# %%
# With pandas output the features keep their names and the rows theirs.
features = columns.set_output(transform="pandas").fit_transform(table)
print(features.iloc[:3, [0, 1, -3, -1]].to_string())
