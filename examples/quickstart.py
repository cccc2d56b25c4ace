"""Photographs through a pretrained ImageNet network, in one scikit-learn pipeline.

    python examples/quickstart.py [photo ...] [--output contact_sheet.png]

Without arguments it takes photographs that scikit-learn and scikit-image carry. The network comes
inside a package and is turned into ONNX at the first run (about 15 seconds, once).
"""

import argparse
import time
from pathlib import Path

import matplotlib
import skimage
import sklearn.datasets
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor, ScoreClassifier
from sklearn_dl.inspection import ImageGridDisplay
from sklearn_dl.models import model_card

SKLEARN_IMAGES = Path(sklearn.datasets.__file__).parent / "images"
SKIMAGE_IMAGES = Path(skimage.data_dir)
PACKAGED = [
    SKLEARN_IMAGES / "china.jpg",
    SKLEARN_IMAGES / "flower.jpg",
    SKIMAGE_IMAGES / "chelsea.png",
    SKIMAGE_IMAGES / "coffee.png",
    SKIMAGE_IMAGES / "rocket.jpg",
    SKIMAGE_IMAGES / "motorcycle_left.png",
    SKIMAGE_IMAGES / "camera.png",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="*", type=Path, default=PACKAGED)
    parser.add_argument("--output", type=Path, default=Path("contact_sheet.png"))
    arguments = parser.parse_args()
    photos = arguments.photos

    imagenet_labels = model_card("efficientnet-lite0").labels
    pipe = make_pipeline(
        ImageLoader(),
        ImageResizer(224, 224),
        PixelExtractor(offset=127, scale=1 / 128),
        OnnxScorer("efficientnet-lite0", outputs="logits"),
        ScoreClassifier(imagenet_labels, activation="softmax"),
    )
    print("loading the network (exported to ONNX at the first run) ...")
    pipe.predict(photos[:1])

    started = time.perf_counter()
    labels, scores = pipe[-1].top_k(pipe[:-1].transform(photos), 3)
    seconds = time.perf_counter() - started

    for photo, best, score in zip(photos, labels, scores, strict=True):
        guesses = ", ".join(f"{label} {s:.2f}" for label, s in zip(best, score, strict=True))
        print(f"{photo.name:>20}  {guesses}")
    print(f"{len(photos)} photographs in {seconds:.2f} s")

    matplotlib.use("Agg")
    display = ImageGridDisplay.from_predictions(photos, labels, scores, n_columns=4)
    display.figure_.savefig(arguments.output)
    print(f"contact sheet: {arguments.output.resolve()}")


if __name__ == "__main__":
    main()
