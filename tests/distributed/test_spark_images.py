"""The structs that Spark's reader makes from image files, as rows of ImageLoader."""

import shutil
import subprocess
import sys

import pytest
from PIL import Image

from tests.distributed import engines
from tests.images.image_files import gradient

pytestmark = pytest.mark.slow

SCRIPT = """
import sys

import numpy as np
from pyspark.sql import SparkSession

from sklearn_dl import ImageLoader
from tests.images.image_files import gradient

folder = sys.argv[1]
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "512m")
    .config("spark.driver.host", "127.0.0.1")
    .getOrCreate()
)


def check(X, names):
    images = ImageLoader(colors="RGBA", on_error="nan").fit(X).transform(X)[:, 0]
    assert len(images) == len(names) == 4, (len(images), names)
    for name, image in zip(names, images):
        if "bad" in name:
            assert "bad.png" in repr(image) or "bytes" in repr(image), repr(image)
            continue
        expected = gradient(12, 8, 4)[..., : 1 if "grey" in name else 4].copy()
        if "opaque" in name:
            expected[..., 3] = 255
        if "grey" in name:
            expected = np.concatenate([expected] * 3 + [np.full_like(expected, 255)], axis=2)
        np.testing.assert_array_equal(np.asarray(image), expected)


decoded = spark.read.format("image").load(folder)
rows = decoded.collect()
names = [row.image.origin for row in rows]
check(rows, names)
check([row.image for row in rows], names)
check(decoded.toArrow(), names)
check(decoded.toPandas(), names)

files = spark.read.format("binaryFile").load(folder)
rows = files.collect()
names = [row.path for row in rows]
check(rows, names)
check(files.select("path").collect(), names)
check(files.select("content").toArrow(), names)


def load(batches):
    import pandas as pd

    for batch in batches:
        images = ImageLoader(on_error="nan").transform(batch[["image"]])[:, 0]
        yield pd.DataFrame({"image": [repr(image) for image in images]})


found = [row.image for row in decoded.mapInPandas(load, "image string").collect()]
assert sum("Undefined (-1)" in image for image in found) == 1, found
assert sum(image.startswith("LazyImage(<array 8 x 12") for image in found) == 3, found
spark.stop()
print("done")
"""


def test_images_and_binary_files_of_spark(tmp_path):
    pytest.importorskip("pyspark", reason="needs pip install sklearn-dl[distributed-test]")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17: apt-get install openjdk-17-jre-headless")
    for name, channels in (("grey", 1), ("opaque", 3), ("with alpha", 4)):
        Image.fromarray(gradient(12, 8, channels)).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=engines.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.endswith("done\n"), done.stderr[-6000:]
