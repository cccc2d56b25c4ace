"""A new task from few photographs: pretrained features, then scikit-learn.

Faces against other patches, 25 x 25 pixels each (scikit-image's `lfw_subset`). The pretrained
pipeline, cut one step earlier, is a feature extractor that is cross-validated and grid-searched
like any other transformer.
"""

import numpy as np
from skimage.data import lfw_subset
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor

patches = (lfw_subset() * 255).astype(np.uint8)
is_face = np.repeat([True, False], 100)
print(f"{len(patches)} patches of {patches.shape[1]} x {patches.shape[2]} pixels")

# %%
# Pixels as they are: the baseline.
pixels = make_pipeline(
    ImageLoader(mode="L"),
    PixelExtractor(colors="L", layout="flat", scale=1 / 255),
    LogisticRegression(max_iter=1000),
)
print("pixels  ", cross_val_score(pixels, list(patches), is_face, cv=5).mean().round(3))

# %%
# Features of the last layer but one.
features = make_pipeline(
    ImageLoader(),
    ImageResizer(96, 96),
    PixelExtractor(offset=127, scale=1 / 128),
    OnnxScorer("efficientnet-lite0", outputs="features"),
    StandardScaler(),
    LogisticRegression(max_iter=1000),
)
print("features", cross_val_score(features, list(patches), is_face, cv=5).mean().round(3))

# %%
# The size of the picture and the layer are parameters as any other.
search = GridSearchCV(
    features,
    {
        "imageresizer__width": [64, 96],
        "onnxscorer__outputs": ["features", "logits"],
        "logisticregression__C": [0.01, 1.0],
    },
    cv=3,
    n_jobs=2,
)
search.set_params(estimator__imageresizer__height=64)
search.fit(list(patches), is_face)
print("best    ", round(search.best_score_, 3), search.best_params_)
