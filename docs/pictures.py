"""Draw the pictures of the README and the landing page again, into ``docs/_static``.

    python docs/pictures.py

It takes some minutes, because two of them come from examples that train. Run it when a display
looks different.
"""

import runpy
import sys
from io import BytesIO
from pathlib import Path

import matplotlib
import skimage
from PIL import Image

matplotlib.use("Agg")  # before the examples import pyplot

from sklearn_dl.inspection import DetectionDisplay, EntityDisplay, ImageGridDisplay
from sklearn_dl.scoring import image_pipeline, top_k

PICTURES = Path(__file__).parent / "_static"
EXAMPLES = Path(__file__).parents[1] / "examples"
SHEET = ["chelsea.png", "coffee.png", "rocket.jpg", "camera.png"]
# from docstrings of scikit-learn
TEXT = (
    "make_column_selector can select columns based on datatype or the columns name with a regex. "
    "When max_features is set 1, this amounts to building a totally random decision tree. The "
    "transformation is done using the default settings for CountVectorizer."
)


def contact_sheet(path):
    images = [Path(skimage.data_dir) / name for name in SHEET]
    labels, scores = top_k(image_pipeline("efficientnet-lite0"), images, 3)
    save_jpeg(ImageGridDisplay.from_predictions(images, labels, scores, n_columns=4), path)


def detections(path):
    """Two images that are not among the scenes that the detector of the example learned from."""
    example = runpy.run_path(str(EXAMPLES / "train_a_detector.py"))
    detector, images = example["detector"], example["others"]
    display = DetectionDisplay.from_predictions(
        images, detector.predict(images), classes=detector.classes_, image_size=(384, 300)
    )
    save_jpeg(display, path)


def entities(path):
    """Sentences of a library that the recognizer of the example has not seen."""
    example = runpy.run_path(str(EXAMPLES / "entities.py"))
    display = EntityDisplay.from_predictions(TEXT, example["recognizer"].predict([TEXT])[0]).plot()
    display.figure_.savefig(path, dpi=100)


def save_jpeg(display, path):
    drawn = BytesIO()
    display.figure_.savefig(drawn)
    Image.open(drawn).convert("RGB").save(path, quality=85)


if __name__ == "__main__":
    sys.path.insert(0, str(EXAMPLES))  # they import _docstrings
    contact_sheet(PICTURES / "contact_sheet.jpg")
    detections(PICTURES / "detections.jpg")
    entities(PICTURES / "entities.png")
