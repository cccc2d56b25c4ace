"""Serve predictions with gunicorn: each worker loads the classifier after the fork.

    CLASSIFIER=classifier.joblib gunicorn --config gunicorn.conf.py serve_gunicorn:app
    curl -d '["a fine film", "so slow"]' http://127.0.0.1:8000/predict

Run it in this folder. The settings are in ``gunicorn.conf.py``, which calls `load` in each worker.
``python serve_gunicorn.py classifier.joblib`` fits a small classifier and saves it in that file.
"""

import json
import os
import sys

import joblib

from sklearn_dl import TextClassifier

classifier = None


def save_classifier(path):
    texts = ["a fine film", "simply great", "great fun", "dull and slow", "what a bore", "so slow"]
    labels = ["good"] * 3 + ["bad"] * 3
    joblib.dump(TextClassifier(trainable_layers=0).fit(texts, labels), path)


def load(n_threads):
    """Load the classifier in this process. Each of its calls computes in `n_threads` threads."""
    global classifier
    classifier = joblib.load(os.environ["CLASSIFIER"]).set_params(n_threads=n_threads)
    # the first prediction loads the network
    classifier.predict(["warm up"])


def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    try:
        probabilities = classifier.predict_proba(json.loads(body))
    except (TypeError, ValueError) as error:
        status, answer = "422 Unprocessable Content", {"error": str(error)}
    else:
        status = "200 OK"
        answer = {
            "classes": classifier.classes_.tolist(),
            "probabilities": probabilities.tolist(),
            "process": os.getpid(),
        }
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


if __name__ == "__main__":
    save_classifier(sys.argv[1])
