"""Combine images, texts, numbers and a category in one grid search
================================================================

Each row of a table has an image, a note, two numbers and a category. A
:class:`~sklearn.compose.ColumnTransformer` combines them, and a
:class:`~sklearn.model_selection.GridSearchCV` searches over the parameters of all steps.

The images are small tiles of three surfaces from scikit-image, with noise. The other columns are
made up, and contain some information about the surface. One network computes features of the
images, and another one embeddings of the notes.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from skimage import data
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor, TextEncoder
from sklearn_dl.inspection import ImageGridDisplay

PHRASES = {
    "brick": ["mortar comes off in places", "the wall of a shed", "warm to the hand", "neat rows"],
    "grass": ["it was mown last week", "wet shoes afterwards", "a few daisies", "soft to walk on"],
    "gravel": [
        "pebbles of all sizes",
        "it crunches underfoot",
        "beside the rails",
        "loose and dry",
    ],
}
ANYWHERE = [
    "taken in a hurry",
    "cloudy, no wind",
    "second visit",
    "the lens was dirty",
    "no tripod",
]
PLACES = {"brick": [0.6, 0.2, 0.2], "grass": [0.1, 0.7, 0.2], "gravel": [0.3, 0.2, 0.5]}

rng = np.random.default_rng(0)
rows = []
for surface, place in PLACES.items():
    texture = getattr(data, surface)().astype(float)
    for top, left in rng.integers(0, 512 - 24, (60, 2)):
        tile = texture[top : top + 24, left : left + 24] + rng.normal(0, 50, (24, 24))
        said = PHRASES[surface] if rng.random() < 0.5 else ANYWHERE
        rows.append(
            {
                "image": tile.clip(0, 255).astype(np.uint8),
                "note": f"{rng.choice(ANYWHERE)}; {rng.choice(said)}",
                "temperature": rng.normal(20 if surface == "brick" else 15, 4),
                "moisture": rng.normal(0.4 if surface == "grass" else 0.2, 0.15),
                "place": rng.choice(["street", "garden", "railway"], p=place),
                "surface": surface,
            }
        )
table = pd.DataFrame(rows).sample(frac=1, random_state=0)  # the index is not sorted
print(table.drop(columns="image").head().round(2).to_string())
ImageGridDisplay.from_predictions(table["image"][:5], table["surface"][:5], image_size=120)
plt.show()

# %%
# Each kind of column has its own steps. A list of names selects a frame; a single name selects one
# column.
image = make_pipeline(
    ImageLoader(),
    ImageResizer(64, 64),
    PixelExtractor(offset=127, scale=1 / 128),
    OnnxScorer("efficientnet-lite0", outputs="features"),
    StandardScaler(),
)
columns = ColumnTransformer(
    [
        ("image", image, ["image"]),
        ("note", make_pipeline(TextEncoder(), StandardScaler()), "note"),
        ("numbers", StandardScaler(), ["temperature", "moisture"]),
        ("category", OneHotEncoder(sparse_output=False), ["place"]),
    ],
    verbose_feature_names_out=False,
)

# %%
# The size of the images, the regularisation of the classifier, and whether a kind of column is used
# are parameters like any other. The grid tries all kinds, all kinds except one, and each kind
# alone.
kinds = ["image", "note", "numbers", "category"]


def without(dropped):
    return {f"columntransformer__{kind}": ["drop"] for kind in dropped}


grid = [{"columntransformer__image__imageresizer": [ImageResizer(32, 32), ImageResizer(64, 64)]}]
grid += [without([kind]) for kind in kinds]
grid += [without([other for other in kinds if other != kind]) for kind in kinds]
search = GridSearchCV(
    make_pipeline(columns, LogisticRegression(max_iter=1000)),
    [part | {"logisticregression__C": [0.01, 1]} for part in grid],
    cv=3,
)
search.fit(table, table["surface"])

# %%
# How much does each kind contribute? The figure shows the best candidate for each choice of
# columns. With 180 rows, differences of two or three hundredths mean nothing.
print("best:", round(search.best_score_, 3), search.best_params_)
results = pd.DataFrame(search.cv_results_)
used = np.array([results[f"param_columntransformer__{kind}"] != "drop" for kind in kinds]).T
results["columns"] = [" + ".join(np.array(kinds)[row]) for row in used]
best = results.groupby("columns")["mean_test_score"].max().sort_values()
_, axes = plt.subplots(layout="constrained")
best.plot.barh(ax=axes, xlim=(0, 1), xlabel="accuracy in 3 folds", ylabel="")
axes.bar_label(axes.containers[0], fmt="%.2f", padding=3)
plt.show()

# %%
# With pandas output, the features have names, and the rows keep their index.
features = columns.set_output(transform="pandas").fit_transform(table)
print(features.iloc[:3, [0, 1, -4, -3, -1]].round(2).to_string())
