"""A worker that is killed in the middle of the work: all rows are there, and right."""

import numpy as np
import pandas as pd
import pytest

from sklearn_dl.distributed import predict_partitions
from tests.distributed.estimators import KillsWorker
from tests.distributed.frames import ignores_warnings_of_engines

pytestmark = [pytest.mark.slow, *ignores_warnings_of_engines]


def test_a_killed_worker_loses_no_rows(frames, tmp_path):
    table = pd.DataFrame({"number": np.arange(20), "name": [f"row {i}" for i in range(20)]})
    frame = frames.frame(table, 5)
    flag = tmp_path / "killed"
    estimator = KillsWorker(str(flag), of_spark=type(frames).__name__ == "SparkFrames")
    scored = predict_partitions(frame, estimator, "number", X_sample=[1])
    scored = frames.table(scored).sort_values("number", ignore_index=True)
    assert flag.exists()
    assert scored["prediction"].tolist() == list(range(0, 40, 2))
    assert scored["name"].tolist() == table["name"].tolist()
