"""Objects in photographs
======================

ML.NET's object detection sample, in scikit-learn's words.

The sample scores Tiny YOLOv2, whose file is yours to get (ONNX's model zoo has it). With it the
whole of the sample is ::

    detector = DetectionScorer("tinyyolov2-8.onnx", format="yolov2", classes=VOC_CLASSES.split())
    detections = detector.predict(["street.jpg", "dogs.jpg"])

and the boxes are in pixels of your photographs, not of the resized ones. So that this example runs
without a file, it builds a small detector with the same outputs: it finds cells of an image that
are red, green or blue.
"""

import matplotlib.pyplot as plt
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from sklearn_dl import DetectionScorer
from sklearn_dl.inspection import DetectionDisplay
from sklearn_dl.metrics import (
    average_precision_per_class,
    make_detections,
    mean_average_precision_scorer,
)

VOC_CLASSES = "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse"
VOC_CLASSES += " motorbike person pottedplant sheep sofa train tvmonitor"
COLORS = ["red", "green", "blue"]


def color_detector():
    """The bytes of a detector with YOLOv2's outputs: one anchor, a grid of 10 x 10, 3 classes."""
    weights, bias = np.zeros((8, 3, 1, 1), np.float32), np.zeros(8, np.float32)
    weights[4], bias[4] = 0.04, -4.0  # objectness: how light the cell is
    weights[5:, :, 0, 0] = 0.05 * np.eye(3)  # its class: the lightest of its colours
    graph = helper.make_graph(
        [
            helper.make_node(
                "AveragePool", ["image"], ["c"], kernel_shape=[32] * 2, strides=[32] * 2
            ),
            helper.make_node("Conv", ["c", "weights", "bias"], ["grid"]),
        ],
        "colors",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 320, 320])],
        [helper.make_tensor_value_info("grid", TensorProto.FLOAT, ["N", 8, 10, 10])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def scenes(n, rng):
    """Dark images of 480 x 320 pixels with coloured cells of 48 x 32, and where these are."""
    images, truths = [], []
    for _ in range(n):
        image = rng.integers(0, 60, (320, 480, 3), dtype=np.uint8)
        boxes, labels = [], []
        for place in rng.permutation(100)[:3]:
            row, column = divmod(int(place), 10)
            color = int(rng.integers(3))
            box = [48 * column, 32 * row, 48 * column + 48, 32 * row + 32]
            image[box[1] : box[3], box[0] : box[2], color] = rng.integers(30, 256)
            boxes.append(box)
            labels.append(COLORS[color])
        images.append(image)
        truths.append(make_detections(boxes, labels))
    return images, truths


images, truths = scenes(12, np.random.default_rng(0))
detector = DetectionScorer(
    color_detector(), format="yolov2", classes=COLORS, anchors=[[1, 1]], score_threshold=0.3
)

# %%
# One structured array per image, best first; or one table for all.
detections = detector.predict(images)
print(detections[0])
print(detector.predict_frame(images[:2]).round(2))

# %%
# The boxes in two images: those that are there, and those that were found. One cell is too dark. A
# class has one colour in all panels, by its place in ``classes``: orange, light blue, green.
DetectionDisplay.from_predictions(
    images[:2], detections[:2], y_true=truths[:2], classes=["red", "blue", "green"]
)
plt.show()

# %%
# How good is it? Average precision, as COCO's evaluation computes it.
print("mAP at 0.5:", round(detector.score(images, truths), 3))
print(
    {label: round(ap, 3) for label, ap in average_precision_per_class(truths, detections).items()}
)

# %%
# Nothing is learned, but thresholds are parameters, and are searched as any other. Average
# precision hardly minds doubtful boxes at the end of the list, so it likes a low one; people who
# look at the boxes may not.
search = GridSearchCV(
    detector,
    {"score_threshold": [0.1, 0.3, 0.5]},
    scoring=mean_average_precision_scorer,
    cv=PredefinedSplit([0] * 6 + [1] * 6),
).fit(images, truths)
print(search.cv_results_["mean_test_score"].round(3), search.best_params_)
