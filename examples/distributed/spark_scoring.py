"""Score tables of texts and of images on Spark.

    python spark_scoring.py                           # local mode: threads of one machine
    python spark_scoring.py spark://127.0.0.1:7077    # uses a running cluster

The executors need the same packages as this process (``PYSPARK_PYTHON`` names their Python), and
the images under the same paths. For a table of your own, use ``spark.read.parquet("reviews")``, and
``scored.write.parquet("scored")`` instead of ``scored.toArrow()``, so that no row comes to this
process. Local mode does not try a failed task again; a cluster does, up to four times.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import skimage
from pyspark.sql import SparkSession
from pyspark.sql.functions import explode

from sklearn_dl import DetectionScorer, TextClassifier
from sklearn_dl.distributed import predict_partitions
from sklearn_dl.scoring import image_pipeline

GOOD = ["a fine film", "simply great", "great fun", "a joy to watch", "warm and clever"]
BAD = ["dull and slow", "what a bore", "slow and boring", "a waste of time", "flat and silly"]
IMAGES = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]
PAGES = ["page.png", "text.png"]


def score_texts(spark):
    # float32: in bfloat16, probabilities depend slightly on the other texts in the batch
    classifier = TextClassifier(trainable_layers=0, precision="float32")
    classifier.fit(GOOD + BAD, ["good"] * len(GOOD) + ["bad"] * len(BAD))
    texts = [f"{first}, but {then}" for first in GOOD for then in BAD]
    rows = list(enumerate(texts, start=100))

    # a partition is scored in batches of `spark.sql.execution.arrow.maxRecordsPerBatch` rows; with
    # several partitions per core, no core is idle for long
    frame = spark.createDataFrame(rows, ["id", "text"]).repartition(4)
    scored = predict_partitions(frame, classifier, "text", "predict_proba").toArrow().to_pandas()

    # a repartitioned frame has a different order: `id` identifies the rows
    scored = scored.sort_values("id", ignore_index=True)
    print(scored.head(3))
    assert scored["text"].tolist() == texts
    local = classifier.predict_proba(texts)
    np.testing.assert_allclose(scored[["proba_bad", "proba_good"]], local, rtol=0, atol=1e-6)


def score_images(spark):
    pipeline = image_pipeline("efficientnet-lite0")
    paths = [str(Path(skimage.data_dir, name)) for name in IMAGES]
    frame = spark.createDataFrame([[path] for path in paths], ["path"])
    rows = predict_partitions(frame, pipeline, "path").collect()

    found = {row["path"]: row["prediction"] for row in rows}
    print(list(found.values()))
    assert found == dict(zip(paths, pipeline.predict(paths), strict=True))


def find_objects(spark):
    detector = DetectionScorer("ddddocr-detector", format="yolox", classes=["character"])
    paths = [str(Path(skimage.data_dir, name)) for name in PAGES]
    frame = spark.createDataFrame([[path] for path in paths], ["path"])
    scored = predict_partitions(frame, detector, "path")

    # from a list of objects for each image to a row for each object
    objects = scored.select("path", explode("prediction").alias("object"))
    objects = objects.select("path", "object.*").sort("path", "x0", "y0").toArrow().to_pandas()
    print(objects.head(3))
    local = detector.predict_frame(pd.Series(paths))
    local["path"] = [paths[image] for image in local["image"]]
    local = local.sort_values(["path", "x0", "y0"], ignore_index=True)
    assert len(local) > 0
    assert objects["label"].tolist() == local["label"].tolist()
    np.testing.assert_allclose(objects["x0"], local["x0"], rtol=0, atol=1e-3)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        # otherwise Spark also listens on the network
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    master = sys.argv[1] if len(sys.argv) > 1 else "local[2]"
    spark = SparkSession.builder.master(master).config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    score_texts(spark)
    score_images(spark)
    find_objects(spark)
    spark.stop()
