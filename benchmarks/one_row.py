"""`predict` of one image, against decoding it and running the session by hand."""

import numpy as np
from sklearn.pipeline import make_pipeline

from benchmarks._images import image_paths
from benchmarks._ratio import compare
from benchmarks.images import load_reduced, numbers, pipeline
from sklearn_dl import ScoreClassifier
from sklearn_dl.models import model_card


def run(quick=False):
    labels = model_card("efficientnet-lite0").labels
    pipe = make_pipeline(
        *[step for _, step in pipeline().steps], ScoreClassifier(labels, activation="softmax")
    )
    by_session = pipe[3]._session().session.run  # a second session would have a second thread pool
    paths = image_paths(640, 64)

    def by_hand(i):
        pixels = numbers(load_reduced(paths[i % 64]))[None]
        return labels[np.argmax(by_session(["logits"], {"image": pixels})[0])]

    assert all(pipe.predict(paths[i : i + 1])[0] == by_hand(i) for i in range(8))
    ratios = compare(
        lambda i: pipe.predict([paths[i % 64]]), {"by hand": by_hand}, 50 if quick else 400
    )
    ratio = ratios["by hand"]
    met = "met" if ratio.ours_seconds - ratio.rival_seconds <= 0.001 else "MISSED"
    above = 1000 * (ratio.ours_seconds - ratio.rival_seconds)
    return [
        {
            "what": f"predict of one row: {above:+.2f} ms (at most +1: {met})",
            "rival": "decode + session run",
            "bar": None,
            "ms_each": 1000 * ratio.ours_seconds,
            **ratio._asdict(),
        }
    ]
