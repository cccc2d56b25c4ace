"""Images to numbers: how far is a face turned?
==============================================

Pretrained features distinguish objects, whichever way they are turned. So they contain little
about angles. Here, the layers of the network are trained to predict the angle of a face, with a few
hundred images.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from skimage.data import lfw_subset
from sklearn.metrics import PredictionErrorDisplay

from sklearn_dl import ImageRegressor
from sklearn_dl.inspection import ImageGridDisplay


def turned(faces, n_views, seed):
    """Return faces that are turned by up to 45 degrees, and the angles.

    The corners are cut off, because they would reveal the angle.
    """
    rng = np.random.default_rng(seed)
    images, angles = [], []
    for face in faces:
        large = Image.fromarray((face * 255).astype(np.uint8)).resize((100, 100))
        for angle in rng.uniform(-45, 45, n_views):
            images.append(large.rotate(angle, Image.Resampling.BILINEAR).crop((18, 18, 82, 82)))
            angles.append(angle)
    return images, np.array(angles)


faces = lfw_subset()[:100]
X_train, y_train = turned(faces[:80], n_views=4, seed=0)
X_test, y_test = turned(faces[80:], n_views=4, seed=1)
print(f"{len(X_train)} images of 80 people to learn from, {len(X_test)} of 20 others")

# %%
# A head on the features of the frozen network hardly predicts the angle.
frozen = ImageRegressor(image_size=64).fit(X_train, y_train)
print(f"R² of a head on frozen features: {frozen.score(X_test, y_test):.2f}")

# %%
# With all layers trained, the network predicts it well.
regressor = ImageRegressor(image_size=64, trainable_layers="all", max_epochs=6, random_state=0)
started = time.perf_counter()
regressor.fit(X_train, y_train)
print(f"fit: {time.perf_counter() - started:.0f} s")
print(f"R² with trained layers: {regressor.score(X_test, y_test):.2f}")

# %%
# Draw the true and the predicted angle of each test image.
predicted = regressor.predict(X_test)
PredictionErrorDisplay.from_predictions(y_test, predicted, kind="actual_vs_predicted")
plt.show()

# %%
# Turn the faces back by the predicted angles. Now they are upright.
upright = [image.rotate(-angle) for image, angle in zip(X_test[:10], predicted[:10], strict=True)]
ImageGridDisplay.from_predictions(upright, [f"{angle:.0f}°" for angle in predicted[:10]])
plt.show()
