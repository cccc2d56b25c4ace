"""Score tables of texts and of images on Ray.

    python ray_scoring.py                    # starts Ray with two CPUs on this machine
    python ray_scoring.py 127.0.0.1:6379     # uses a running cluster

The workers need the same packages as this process, and the images under the same paths. For a table
of your own, use ``ray.data.read_parquet("reviews")``, and ``scored.write_parquet("scored")``
instead of ``scored.to_pandas()``, so that no row comes to this process.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import ray
import skimage

from sklearn_dl import DetectionScorer, TextClassifier
from sklearn_dl.distributed import predict_partitions
from sklearn_dl.scoring import image_pipeline

GOOD = ["a fine film", "simply great", "great fun", "a joy to watch", "warm and clever"]
BAD = ["dull and slow", "what a bore", "slow and boring", "a waste of time", "flat and silly"]
IMAGES = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]
PAGES = ["page.png", "text.png"]


def score_texts():
    # float32: in bfloat16, probabilities depend slightly on the other texts in the batch
    classifier = TextClassifier(trainable_layers=0, precision="float32")
    classifier.fit(GOOD + BAD, ["good"] * len(GOOD) + ["bad"] * len(BAD))
    texts = [f"{first}, but {then}" for first in GOOD for then in BAD]
    table = pd.DataFrame({"text": texts})

    # each block is scored as a whole: with several per worker, no worker is idle for long
    frame = ray.data.from_pandas(table).repartition(4)
    scored = predict_partitions(frame, classifier, "text", "predict_proba").to_pandas()

    print(scored.head(3))
    assert scored["text"].tolist() == table["text"].tolist()
    local = classifier.predict_proba(table["text"])
    probabilities = scored[["proba_bad", "proba_good"]].to_numpy(float)
    np.testing.assert_allclose(probabilities, local, rtol=0, atol=1e-6)


def score_images():
    pipeline = image_pipeline("efficientnet-lite0")
    table = pd.DataFrame({"path": [str(Path(skimage.data_dir, name)) for name in IMAGES]})
    frame = ray.data.from_pandas(table).repartition(2)
    scored = predict_partitions(frame, pipeline, "path").to_pandas()

    print(scored["prediction"].tolist())
    assert scored["prediction"].tolist() == pipeline.predict(table["path"]).tolist()


def find_objects():
    detector = DetectionScorer("ddddocr-detector", format="yolox", classes=["character"])
    table = pd.DataFrame({"path": [str(Path(skimage.data_dir, name)) for name in PAGES]})
    frame = ray.data.from_pandas(table).repartition(2)
    scored = predict_partitions(frame, detector, "path")

    # from a list of objects for each image to a row for each object
    objects = scored.flat_map(lambda row: [{"path": row["path"], **o} for o in row["prediction"]])
    objects = objects.to_pandas()
    print(objects.head(3))
    local = detector.predict_frame(table["path"])
    assert len(local) > 0
    assert objects["label"].tolist() == local["label"].tolist()
    np.testing.assert_allclose(objects["x0"].to_numpy(np.float32), local["x0"], rtol=0, atol=1e-3)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ray.init(sys.argv[1])
    else:
        ray.init(num_cpus=2, include_dashboard=False)
    # otherwise, blocks come in the order in which they are finished
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    score_texts()
    score_images()
    find_objects()
    ray.shutdown()
