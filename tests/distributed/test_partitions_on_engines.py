"""predict_partitions on clusters of dask, Ray and Spark, against the estimator in this process."""

from collections import Counter
from contextlib import closing

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from sklearn_dl import DetectionScorer, TextClassifier
from sklearn_dl.distributed import predict_partitions
from tests.distributed import engines
from tests.distributed.estimators import KillsWorker, NotesLoads
from tests.distributed.frames import (
    DaskFrames,
    RayFrames,
    SparkFrames,
    ignores_warnings_of_engines,
)
from tests.text.tiny_encoders import WORDS, tiny_bert
from tests.vision.detection.detectors import ANCHORS, color_detector, squares

pytestmark = [pytest.mark.slow, *ignores_warnings_of_engines]
N_ROWS, N_PARTITIONS = 60, 6


# for this module only: an application of Spark keeps the cores of its cluster
@pytest.fixture(scope="module", params=[DaskFrames, RayFrames, SparkFrames], ids=lambda e: e.name)
def frames(request):
    """Frames of each engine, on its cluster."""
    engine = request.param
    address = request.getfixturevalue(f"{engine.name}_address")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in engines.ENVIRONMENT.items():
            patch.setenv(name, value)
        with closing(engine(address)) as frames:
            yield frames


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    encoder = tiny_bert(tmp_path_factory.mktemp("encoder") / "bert")
    texts = ["a good film", "the bad book", "fine music", "poor plot"] * 3
    return TextClassifier(
        str(encoder), trainable_layers=0, max_length=32, precision="float32", embed_model=True
    ).fit(texts, ["good", "bad"] * 6)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 12))) for _ in range(N_ROWS)]
    names = [f"row {i}" for i in rng.permutation(N_ROWS)]
    index = rng.permutation(N_ROWS) + 100
    return pd.DataFrame({"name": names, "text": texts}, index)


def test_rows_have_the_results_that_they_have_locally(frames, table, classifier, tmp_path):
    # all rows of the third partition, so that it is empty
    dropped = table["name"][20:30].tolist()
    frame = frames.without_rows(frames.frame(table, N_PARTITIONS), dropped)
    kept = table[~table["name"].isin(dropped)]
    noting = NotesLoads(classifier, str(tmp_path))

    labels = frames.table(predict_partitions(frame, noting, "text"))
    assert labels["name"].tolist() == kept["name"].tolist()
    assert labels["text"].tolist() == kept["text"].tolist()
    assert labels["prediction"].tolist() == classifier.predict(kept["text"]).tolist()
    if frames.keeps_index:
        assert labels.index.tolist() == kept.index.tolist()

    scored = frames.table(predict_partitions(frame, noting, "text", "predict_proba"))
    probabilities = scored[["proba_bad", "proba_good"]].to_numpy(float)
    local = classifier.predict_proba(kept["text"])
    np.testing.assert_allclose(probabilities, local, atol=1e-6)

    loads = Counter(path.name.partition("-")[0] for path in tmp_path.iterdir())
    assert set(loads.values()) == {1}


def test_detections_are_lists_of_structs(frames, tmp_path):
    paths = []
    for number, cells in enumerate([[], [(0, 1, 2)], [(2, 5, 5), (1, 8, 3)], []]):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(squares(*cells)).save(paths[-1])
    detector = DetectionScorer(
        color_detector(), format="yolov2", classes=["red", "green", "blue"], anchors=ANCHORS
    )
    frame = frames.frame(pd.DataFrame({"path": paths}), 2)
    scored = frames.table(predict_partitions(frame, detector, "path"))
    assert scored["path"].tolist() == paths
    found = pa.array(scored["prediction"]).to_pylist()
    local = [
        [dict(zip(objects.dtype.names, row, strict=True)) for row in objects.tolist()]
        for objects in detector.predict(paths)
    ]
    assert [len(objects) for objects in local] == [0, 1, 2, 0]
    assert found == local


def test_the_error_of_a_row_reaches_the_driver(frames, table, classifier):
    table.loc[table["name"] == "row 7", "text"] = None
    label = table.index[table["name"] == "row 7"][0]
    scored = predict_partitions(frames.frame(table, N_PARTITIONS), classifier, "text")
    with pytest.raises(Exception, match=r"is missing") as caught:
        frames.table(scored)
    assert (f"{label}" if frames.keeps_index else "'row 7'") in str(caught.value)


def test_a_killed_worker_loses_no_rows(frames, tmp_path):
    table = pd.DataFrame({"number": np.arange(20), "name": [f"row {i}" for i in range(20)]})
    flag = tmp_path / "killed"
    estimator = KillsWorker(str(flag), of_spark=isinstance(frames, SparkFrames))
    frame = frames.frame(table, 5)
    scored = frames.table(predict_partitions(frame, estimator, "number", X_sample=[1]))
    assert flag.exists()
    assert scored["prediction"].tolist() == list(range(0, 40, 2))
    assert scored["name"].tolist() == table["name"].tolist()
