"""Score tables of texts and of images on a dask cluster.

    python dask_scoring.py                          # starts two workers on this machine
    python dask_scoring.py tcp://scheduler:8786     # uses a running cluster

The workers need the same packages as this process, and the images under the same paths. For a table
of your own, use ``dd.read_parquet("reviews")``, and ``scored.to_parquet("scored")`` instead of
``scored.compute()``, so that no row comes to this process.
"""

import sys
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import skimage
from dask.distributed import Client, LocalCluster

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
    table = pd.DataFrame({"text": texts}, index=range(100, 100 + len(texts)))

    # each partition is scored as a whole: with several per worker, no worker is idle for long
    frame = dd.from_pandas(table, npartitions=4)
    scored = predict_partitions(frame, classifier, "text", "predict_proba").compute()

    print(scored.head(3))
    assert scored.index.equals(table.index)
    local = classifier.predict_proba(table["text"])
    np.testing.assert_allclose(scored[["proba_bad", "proba_good"]], local, rtol=0, atol=1e-6)


def score_images():
    pipeline = image_pipeline("efficientnet-lite0")
    table = pd.DataFrame({"path": [str(Path(skimage.data_dir, name)) for name in IMAGES]})
    frame = dd.from_pandas(table, npartitions=2)
    scored = predict_partitions(frame, pipeline, "path").compute()

    print(scored["prediction"].tolist())
    assert scored["prediction"].tolist() == pipeline.predict(table["path"]).tolist()


def find_objects():
    detector = DetectionScorer("ddddocr-detector", format="yolox", classes=["character"])
    table = pd.DataFrame({"path": [str(Path(skimage.data_dir, name)) for name in PAGES]})
    frame = dd.from_pandas(table, npartitions=2)
    scored = predict_partitions(frame, detector, "path")

    # from a list of objects for each image to a row for each object
    objects = scored.explode("prediction").dropna().compute()
    fields = objects["prediction"].struct.explode()
    print(pd.concat([objects["path"], fields], axis=1).head(3))
    local = detector.predict_frame(table["path"])
    assert len(local) > 0
    assert fields["label"].tolist() == local["label"].tolist()
    np.testing.assert_allclose(fields["x0"].to_numpy(np.float32), local["x0"], rtol=0, atol=1e-3)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        cluster = sys.argv[1]
    else:
        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with Client(cluster):
        score_texts()
        score_images()
        find_objects()
    if len(sys.argv) == 1:
        cluster.close()
