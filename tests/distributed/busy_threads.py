"""How many threads of a process are busy while estimators work; workers of engines import this."""

import io
from itertools import pairwise
from threading import Barrier, Event, Thread

import numpy as np
import psutil
from onnx import helper
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor, TextEncoder
from tests.scoring.onnx_graphs import model
from tests.text.tiny_encoders import WORDS, tiny_bert

WIDTH = 512
BOTH = Barrier(2)  # two tasks in one process


def busy_threads(work, barrier=None):
    """The number of threads of this process that compute during a call of `work`.

    Threads with less than a quarter of the busiest thread's time do something else. Calls that
    share a `barrier` count at the same time.
    """
    work()  # loads the model
    if barrier is not None:
        barrier.wait(120)
    process = psutil.Process()

    def times():
        return {t.id: t.user_time + t.system_time for t in process.threads()}

    before, after, done = times(), {}, Event()

    def watch():
        while not done.wait(0.02):  # threads may end before `work` does
            after.update(times())

    watcher = Thread(target=watch)
    watcher.start()
    work()
    after.update(times())
    done.set()
    watcher.join()
    spent = [after[t] - before.get(t, 0) for t in after if t != watcher.native_id]
    assert max(spent) > 0.1, "not enough work to tell threads apart"
    return sum(seconds > max(spent) / 4 for seconds in spent)


def dense_layers():
    """Sixty products of matrices, each followed by ReLU."""
    nodes, names = [], ["x", *(f"y{i}" for i in range(60))]
    for x, y in pairwise(names):
        nodes += [
            helper.make_node("MatMul", [x, "w"], [f"{y}_"]),
            helper.make_node("Relu", [f"{y}_"], [y]),
        ]
    weights = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    return model(
        nodes,
        {"x": (np.float32, ["N", WIDTH])},
        {names[-1]: (np.float32, ["N", WIDTH])},
        {"w": weights / WIDTH**0.5},
    )


def numbers(n_rows):
    return np.random.default_rng(0).normal(size=(n_rows, WIDTH)).astype(np.float32)


def estimators(folder):
    """Estimators, with rows that are enough work for several threads."""
    rng = np.random.default_rng(0)
    noise = Image.effect_noise((1000, 1000), 60)
    file = io.BytesIO()
    noise.save(file, "JPEG")
    size = {
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_attention_heads": 4,
        "num_hidden_layers": 4,
    }
    return {
        "torch": (
            TextEncoder(str(tiny_bert(folder / "bert", **size)), max_length=64),
            [" ".join(rng.choice(WORDS, 60)) for _ in range(300)],
        ),
        "ONNX Runtime": (OnnxScorer(dense_layers()), numbers(2000)),
        "images": (
            make_pipeline(ImageLoader(), ImageResizer(224, 224), PixelExtractor(layout="flat")),
            [file.getvalue()] * 128,
        ),
    }


def count_each(works):
    return {
        name: busy_threads(lambda: estimator.transform(X))  # noqa: B023 - called at once
        for name, (estimator, X) in works.items()
    }


def count_beside_another(estimator, X):
    """The number of threads of two tasks that transform at the same time."""
    return busy_threads(lambda: estimator.transform(X), BOTH)


def count_in_predict(estimator, X, y):
    """A score for a search: the number of threads that predict."""
    return busy_threads(lambda: estimator.predict(X))


def search():
    """The numbers of threads in the tasks of a grid search with joblib's active backend."""
    learner = make_pipeline(OnnxScorer(dense_layers()), LogisticRegression(max_iter=5, tol=1e9))
    X, y = numbers(4000), np.arange(4000) % 2
    grid = {"logisticregression__C": [1.0]}
    searched = GridSearchCV(
        learner, grid, scoring=count_in_predict, cv=2, n_jobs=2, refit=False, error_score="raise"
    )
    scores = searched.fit(X, y).cv_results_
    return [*scores["split0_test_score"].tolist(), *scores["split1_test_score"].tolist()]
