"""The example that logs a model in mlflow, and loads it in another process."""

import pytest

from tests.distributed.engines import run_example

pytestmark = pytest.mark.slow


def test_a_logged_classifier_predicts_in_another_process():
    pytest.importorskip("mlflow", reason="needs pip install sklearn-dl[distributed-test]")
    output = run_example("mlflow_model.py", MLFLOW_DISABLE_TELEMETRY="true")
    assert "'sklearn-dl[models,text]==" in output
    assert "another process predicts ['good', 'bad']" in output
