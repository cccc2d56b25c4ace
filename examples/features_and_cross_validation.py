"""Features of a network, and learning curves
==========================================

A pretrained network computes features, and scikit-learn learns a new task from few images.

The task is to tell faces from other images (scikit-image's ``lfw_subset``). The images are random
parts of 18 x 18 pixels, so that the noses of the faces are not all in the middle. Without its last
layer, the pretrained network is a transformer like any other: it can be cross-validated, and used
in a grid search.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import lfw_subset
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, LearningCurveDisplay, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor
from sklearn_dl.inspection import ImageGridDisplay

whole = (lfw_subset() * 255).astype(np.uint8)
corners = np.random.default_rng(0).integers(0, 8, (200, 2))
patches = [
    patch[top : top + 18, left : left + 18]
    for patch, (top, left) in zip(whole, corners, strict=True)
]
labels = np.repeat(["face", "other"], 100)
ImageGridDisplay.from_predictions(patches[::20], labels[::20], image_size=100)
plt.show()

# %%
# The baseline uses the pixels. Its rival uses the features before the last layer of the network.
pixels = make_pipeline(
    ImageLoader(colors="L"),
    PixelExtractor(colors="L", layout="flat", scale=1 / 255),
    LogisticRegression(max_iter=1000),
)
features = make_pipeline(
    ImageLoader(),
    ImageResizer(64, 64),
    PixelExtractor(offset=127, scale=1 / 128),
    OnnxScorer("efficientnet-lite0", outputs="features"),
    StandardScaler(),
    LogisticRegression(max_iter=1000),
)

# %%
# How many images do the two pipelines need?
_, axes = plt.subplots(layout="constrained")
for name, pipe in {"pixels": pixels, "features": features}.items():
    display = LearningCurveDisplay.from_estimator(
        pipe,
        patches,
        labels,
        train_sizes=[10, 20, 40, 80],
        cv=StratifiedShuffleSplit(5, train_size=80, random_state=0),
        score_type="test",
        score_name="accuracy",
        ax=axes,
    )
    display.lines_[0].set_label(name)
    print(f"{name:>8}", display.test_scores.mean(axis=1).round(3))
axes.legend(loc="lower right")
plt.show()

# %%
# The size of the images and the layer are parameters like any other.
search = GridSearchCV(
    features,
    {
        "imageresizer": [ImageResizer(48, 48), ImageResizer(64, 64)],
        "onnxscorer__outputs": ["features", "logits"],
    },
    cv=3,
)
search.fit(patches, labels)

# %%
# The best candidate.
print(round(search.best_score_, 3), search.best_params_)
