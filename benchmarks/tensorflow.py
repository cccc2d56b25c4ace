"""Scoring a SavedModel with TensorFlowScorer, against TensorFlow by hand."""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks._ratio import compare
from sklearn_dl import TensorFlowScorer
from sklearn_dl.runtimes.tensorflow._runtime import import_tensorflow

BATCH = 32


def run(quick=False):
    tf = import_tensorflow()
    n_pairs = 3 if quick else 20
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, network, x in _networks(tf, 64 if quick else 1):
            path = Path(folder, name.replace(" ", "_"))
            network.export(path, verbose=False)
            signature = tf.saved_model.load(path).signatures["serving_default"]
            (key,) = signature.structured_input_signature[1]
            (output,) = signature.structured_outputs

            def by_hand(size, x=x, signature=signature, key=key, output=output):
                parts = [
                    signature(**{key: tf.constant(x[start : start + size])})[output].numpy()
                    for start in range(0, len(x), size)
                ]
                return np.concatenate(parts)

            scorer = TensorFlowScorer(path, batch_size=BATCH)
            np.testing.assert_allclose(scorer.transform(x), by_hand(BATCH), rtol=1e-4, atol=1e-5)
            rivals = {
                "signature": lambda i, by_hand=by_hand: by_hand(BATCH),
                "rows": lambda i, by_hand=by_hand: by_hand(1),
            }
            ratios = compare(lambda i, s=scorer, x=x: s.transform(x), rivals, n_pairs)
            for rival, what, bar in (
                ("signature", f"the signature by hand, batches of {BATCH}", 0.95),
                ("rows", "row by row, as ML.NET", None),
            ):
                rows.append(
                    {
                        "what": f"{name}, {len(x)} rows",
                        "rival": what,
                        "bar": bar,
                        "ms_each": 1000 * ratios[rival].ours_seconds / len(x),
                    }
                    | ratios[rival]._asdict()
                )
    return rows


def _networks(tf, divide):
    """A network for tables and one for images; only their speed matters, so weights are random."""
    layers = tf.keras.layers
    rng = np.random.default_rng(0)
    tf.keras.utils.set_random_seed(0)
    table = [tf.keras.Input((64,)), *(layers.Dense(256, activation="relu") for _ in range(3))]
    x = rng.normal(size=(8192 // divide, 64)).astype(np.float32)
    yield "network of 4 dense layers", tf.keras.Sequential([*table, layers.Dense(10)]), x
    image = tf.keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None)
    x = rng.normal(size=(512 // divide, 96, 96, 3)).astype(np.float32)
    yield "MobileNetV2 0.35, 96 pixels", image, x
