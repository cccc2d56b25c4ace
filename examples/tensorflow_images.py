"""The same network in TensorFlow and in ONNX
==========================================

``TensorFlowScorer`` and ``OnnxScorer`` take the same place in a pipeline, and give the same
probabilities.

Keras trains a small network to recognise faces, with 200 images of 25 x 25 pixels from
scikit-image. The network is saved as a SavedModel, and written as an ONNX file too.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper, save
from skimage.data import lfw_subset
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_dl import (
    ImageLoader,
    ImageResizer,
    OnnxScorer,
    PixelExtractor,
    ScoreClassifier,
    TensorFlowScorer,
)
from sklearn_dl.inspection import ImageGridDisplay

LABELS = ["face", "other"]
images = [np.uint8(255 * np.clip(image, 0, 1)) for image in lfw_subset()]
X_train, X_test, y_train, y_test = train_test_split(
    images, np.repeat(LABELS, 100), random_state=0, stratify=np.repeat(LABELS, 100)
)


def preparation(layout):
    """Return the steps before the network."""
    return [
        ImageLoader(),
        ImageResizer(32, 32),
        PixelExtractor(colors="L", layout=layout, offset=117, scale=1 / 128),
    ]


# %%
# Train the network and save it. Another program could do this.
tf.keras.utils.set_random_seed(0)
network = tf.keras.Sequential(
    [
        tf.keras.Input((32, 32, 1), name="pixels"),
        tf.keras.layers.Conv2D(8, 5, strides=2, activation="relu"),
        tf.keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
        tf.keras.layers.GlobalAveragePooling2D(),
        tf.keras.layers.Dense(2, activation="softmax"),
    ]
)
network.compile(tf.keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
pixels = np.asarray(make_pipeline(*preparation("NHWC")).transform(X_train))
network.fit(pixels, np.searchsorted(LABELS, y_train), epochs=30, verbose=0)
folder = Path(tempfile.mkdtemp())
network.export(folder / "faces", verbose=False)

# %%
# A pipeline uses the SavedModel, from images to labels.
faces = make_pipeline(
    *preparation("NHWC"), TensorFlowScorer(folder / "faces"), ScoreClassifier(LABELS)
)
print(f"TensorFlow: accuracy {accuracy_score(y_test, faces.predict(X_test)):.2f}")

# %%
# Write the same network in ONNX. There, the channels of the images come first.
nodes, constants, before = [], [], "pixels"
for i, layer in enumerate(network.layers):
    if weights := layer.get_weights():
        kernel, bias = weights
        kernel = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel
        constants += [
            numpy_helper.from_array(kernel, f"w{i}"),
            numpy_helper.from_array(bias, f"b{i}"),
        ]
    if isinstance(layer, tf.keras.layers.Conv2D):
        nodes.append(
            helper.make_node("Conv", [before, f"w{i}", f"b{i}"], [f"c{i}"], strides=[2, 2])
        )
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"h{i}"]))
    elif isinstance(layer, tf.keras.layers.Dense):
        nodes.append(helper.make_node("Gemm", [before, f"w{i}", f"b{i}"], [f"g{i}"]))
        nodes.append(helper.make_node("Softmax", [f"g{i}"], [f"h{i}"]))
    else:
        nodes.append(helper.make_node("ReduceMean", [before], [f"h{i}"], axes=[2, 3], keepdims=0))
    before = f"h{i}"
graph = helper.make_graph(
    nodes,
    "faces",
    [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 1, 32, 32])],
    [helper.make_tensor_value_info(before, TensorProto.FLOAT, ["N", 2])],
    constants,
)
opset = [helper.make_opsetid("", 17)]
save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "faces.onnx")

twin = make_pipeline(
    *preparation("NCHW"), OnnxScorer(folder / "faces.onnx"), ScoreClassifier(LABELS)
)
print(f"ONNX:       accuracy {accuracy_score(y_test, twin.predict(X_test)):.2f}")
in_tensorflow, in_onnx = faces.predict_proba(X_test), twin.predict_proba(X_test)
difference = np.abs(in_onnx - in_tensorflow).max()
print(f"largest difference of a probability: {difference:.1e}")
assert difference < 1e-5

# %%
# The probability of a face, computed by both, for the ten images with the least certain
# predictions.
unsure = in_onnx.max(axis=1).argsort()[:10]
ImageGridDisplay.from_predictions(
    [X_test[i] for i in unsure],
    [["TensorFlow", "ONNX"]] * len(unsure),
    np.column_stack([in_tensorflow[unsure, 0], in_onnx[unsure, 0]]),
    image_size=120,
)
plt.show()
