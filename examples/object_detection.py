"""Use a pretrained detector: characters on images
===============================================

``DetectionScorer`` applies a pretrained detector. The detector of this example comes in a package
(``pip install "sklearn-dl[detection]"``), and was trained to find the characters of captchas. How
well does it find letters that are drawn on other images?

With a file of your own, such as Tiny YOLOv2 from ML.NET's object detection sample, the code is ::

    detector = DetectionScorer("tinyyolov2-8.onnx", format="yolov2", classes=VOC_CLASSES)
    detections = detector.predict(["street.jpg", "dogs.jpg"])

and the boxes are in pixels of your images, not of the resized ones.
"""

import matplotlib.pyplot as plt
import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from sklearn_dl import DetectionScorer
from sklearn_dl.inspection import DetectionDisplay
from sklearn_dl.metrics import make_detections, mean_average_precision_scorer

BACKGROUNDS = ["coffee", "chelsea", "astronaut", "rocket", "retina", "immunohistochemistry"]
COLORS = ["white", "black", "gold", "magenta", "cyan", "lime"]


# %%
# Letters on images of scikit-image, and the boxes around them.
def with_letters(name, rng, n_letters=6, size=60):
    """Return an image of scikit-image with letters on it, and the boxes of the letters."""
    image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB").resize((600, 400))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    boxes = []
    for place in rng.permutation(24)[:n_letters]:
        row, column = divmod(int(place), 6)
        corner = 100 * column + int(rng.integers(40)), 100 * row + int(rng.integers(20))
        letter = rng.choice(list("ABCDEFGHKLMNPRSTUVXYZ"))
        draw.text(corner, letter, rng.choice(COLORS), font)
        boxes.append(draw.textbbox(corner, letter, font))
    return image, make_detections(boxes, ["character"] * n_letters)


rng = np.random.default_rng(0)
X, y = zip(*[with_letters(name, rng) for name in BACKGROUNDS], strict=True)

# %%
# Nothing is learned, so there is no ``fit``. The shapes of the outputs match three formats, so you
# must name the format. ``predict`` returns a structured array for each image, ``predict_frame`` one
# table.
detector = DetectionScorer("ddddocr-detector", format="yolox", classes=["character"])
found = detector.predict(X)
print(found[0])
print(detector.predict_frame(X).round(2).head())

# %%
# The true boxes and the detections.
DetectionDisplay.from_predictions(X[:3], found[:3], y_true=y[:3])
plt.show()

# %%
# The score is the mean average precision at an overlap of 0.5, as COCO's evaluation computes it.
print("mAP50:", round(detector.score(X, y), 3))

# %%
# A grid search can choose thresholds, like any other parameter. A low threshold is good for the
# average precision, which hardly suffers from boxes with low scores. If people look at the boxes, a
# higher one is better.
search = GridSearchCV(
    detector,
    {"score_threshold": [0.05, 0.3, 0.6]},
    scoring=mean_average_precision_scorer,
    cv=PredefinedSplit([0] * 3 + [1] * 3),
).fit(X, y)
print(search.cv_results_["mean_test_score"].round(3), search.best_params_)

# %%
# When a large image is resized to the network's input, small objects are lost. With ``tile=``, the
# image is read in overlapping tiles, and the detections are merged.
large = Image.new("RGB", (2400, 1600))
truth = []
for i in range(16):
    left, top = i % 4 * 600, i // 4 * 400
    large.paste(X[i % len(X)], (left, top))
    moved = y[i % len(y)].copy()
    for edge, distance in {"x0": left, "x1": left, "y0": top, "y1": top}.items():
        moved[edge] += distance
    truth.append(moved)
for tile in (None, 640):
    detector.set_params(tile=tile)
    print(f"tile={tile}: mAP50 {detector.score([large], [np.concatenate(truth)]):.2f}")
