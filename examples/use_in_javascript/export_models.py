"""Export a text classifier and a pretrained image classifier for JavaScript.

``python export_models.py`` writes ``text.onnx`` and ``image.onnx`` to the folder of this file. With
``--rows``, it also writes the files for ``check.mjs``: ``exact_text.onnx``, and 200 texts and 200
images with the labels that the estimators predict.
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import skimage.data
from sklearn.datasets import load_sample_images
from sklearn.model_selection import train_test_split

from sklearn_dl import TextClassifier
from sklearn_dl.export import to_onnx
from sklearn_dl.scoring import image_pipeline

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from _docstrings import load_docstrings  # noqa: E402 - it is in the folder above


def crops(n_crops):
    """Return random parts of images, of different sizes."""
    rng = np.random.default_rng(0)
    images = [*load_sample_images().images, skimage.data.cat(), skimage.data.coffee()]
    made = []
    for k in range(n_crops):
        image = images[k % len(images)]
        height, width = rng.integers(100, np.array(image.shape[:2]) - 1)
        top, left = rng.integers(0, np.array(image.shape[:2]) - [height, width])
        made.append(np.ascontiguousarray(image[top : top + height, left : left + width]))
    return made


def main(folder, with_rows):
    """Write the models to a folder. If `with_rows`, also write the rows to compare."""
    table = load_docstrings()
    train, test = train_test_split(table, train_size=600, test_size=200, random_state=0)
    clf = TextClassifier(trainable_layers=0, precision="float32").fit(train["text"], train["label"])
    small = to_onnx(clf, test["text"].head(20), weights="int8", verbose=1)
    folder.joinpath("text.onnx").write_bytes(small.SerializeToString())

    images = crops(200)
    pipe = image_pipeline("efficientnet-lite0")
    model = to_onnx(pipe, images[:20], verbose=1)
    folder.joinpath("image.onnx").write_bytes(model.SerializeToString())
    if not with_rows:
        return
    exact = to_onnx(clf, test["text"].head(20))
    folder.joinpath("exact_text.onnx").write_bytes(exact.SerializeToString())
    texts = test["text"].tolist()
    rows = {"texts": texts, "labels": clf.predict(texts).tolist()}
    folder.joinpath("texts.json").write_text(json.dumps(rows))
    pixels = [
        {
            "width": image.shape[1],
            "height": image.shape[0],
            "pixels": base64.b64encode(image.tobytes()).decode(),
        }
        for image in images
    ]
    rows = {"images": pixels, "labels": pipe.predict(images).tolist()}
    folder.joinpath("images.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main(HERE, "--rows" in sys.argv)
