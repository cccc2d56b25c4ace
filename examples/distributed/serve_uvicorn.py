"""Serve predictions with uvicorn: load the classifier once, and predict in several threads.

    python serve_uvicorn.py classifier.joblib 8000
    curl -d '["a fine film", "so slow"]' http://127.0.0.1:8000/predict

If the file does not exist, the server first fits a small classifier and saves it there.
"""

import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import joblib
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from sklearn_dl import TextClassifier


def save_classifier(path):
    texts = ["a fine film", "simply great", "great fun", "dull and slow", "what a bore", "so slow"]
    labels = ["good"] * 3 + ["bad"] * 3
    joblib.dump(TextClassifier(trainable_layers=0).fit(texts, labels), path)


@asynccontextmanager
async def load(app):
    """Run before the first request."""
    classifier = joblib.load(app.state.path)
    # one thread for each request, and as many requests at a time as there are CPUs
    classifier.set_params(n_threads=1)
    anyio.to_thread.current_default_thread_limiter().total_tokens = joblib.cpu_count()
    # the first prediction loads the network
    classifier.predict(["warm up"])
    app.state.classifier = classifier
    print(f"loaded {app.state.path} in process {os.getpid()}", flush=True)
    yield


async def predict(request):
    classifier = request.app.state.classifier
    try:
        probabilities = await run_in_threadpool(classifier.predict_proba, await request.json())
    except (TypeError, ValueError) as error:
        return JSONResponse({"error": str(error)}, status_code=422)
    return JSONResponse(
        {"classes": classifier.classes_.tolist(), "probabilities": probabilities.tolist()}
    )


app = Starlette(routes=[Route("/predict", predict, methods=["POST"])], lifespan=load)

if __name__ == "__main__":
    path, port = Path(sys.argv[1]), int(sys.argv[2])
    if not path.exists():
        save_classifier(path)
    app.state.path = path
    uvicorn.run(app, host="127.0.0.1", port=port)
