"""Export to ONNX: from pixels to a label in one file
==================================================

A pipeline of image steps becomes one file that takes pixels of any size. The file resizes images,
converts colours and scales pixels exactly as Pillow does. The program that uses the file only has
to decode the image and to apply its EXIF rotation.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import skimage.data
from sklearn.datasets import load_sample_images

from sklearn_dl import ImageClassifier
from sklearn_dl.export import to_onnx
from sklearn_dl.inspection import ImageGridDisplay
from sklearn_dl.scoring import image_pipeline

images = [*load_sample_images().images, skimage.data.cat(), skimage.data.coffee()]
pipe = image_pipeline("efficientnet-lite0")
model = to_onnx(pipe, images, verbose=1)

# %%
# One run can score several images of one size. These have different sizes, so each needs a run.
session = onnxruntime.InferenceSession(model.SerializeToString())
found = []
for image in images:
    label, probabilities = session.run(["label", "probabilities"], {"image": image[None]})
    found.append(f"{label[0]} {probabilities.max():.2f}")
assert [text.rpartition(" ")[0] for text in found] == pipe.predict(images).tolist()
ImageGridDisplay.from_predictions(images, [[text] for text in found])
plt.show()

# %%
# An image classifier that learns a new task, to tell bricks from grass.
tiles = [
    np.repeat(texture()[row : row + 64, column : column + 64, None], 3, axis=2)
    for texture in (skimage.data.brick, skimage.data.grass)
    for row in range(0, 512, 64)
    for column in range(0, 512, 64)
]
labels = np.repeat(["brick", "grass"], 64)
clf = ImageClassifier(image_size=64).fit(tiles[::2], labels[::2])
model = to_onnx(clf, tiles[:4], verbose=1)
session = onnxruntime.InferenceSession(model.SerializeToString())
(label,) = session.run(["label"], {"image": np.stack(tiles[1::2])})
print(f"accuracy of the file: {(label == labels[1::2]).mean():.3f}")
print(f"accuracy of the classifier: {clf.score(tiles[1::2], labels[1::2]):.3f}")

# %%
# ``resize="fast"`` uses an operator of ONNX that is faster for large images, but computes other
# pixel values than Pillow. ``to_onnx`` warns if the probabilities differ by more than 0.006.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    to_onnx(pipe, images, resize="fast")
print(caught[0].message if caught else "no difference beyond the tolerance")
