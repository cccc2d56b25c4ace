"""Size, accuracy and speed of exported files with small weights."""

import logging
import tempfile
from pathlib import Path

import onnx
import onnxruntime as ort
from onnxruntime.quantization import quantize_dynamic

from benchmarks._ratio import compare
from benchmarks._texts import issues, polarity
from sklearn_dl import OnnxScorer, TextClassifier
from sklearn_dl.export import to_onnx

_CHANNEL = {"per_channel": True}


def run(quick=False):
    """Files with small weights, on two data sets."""
    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime's quantization warns about each node
    rows = []
    n_train, n_test = (64, 64) if quick else (1000, 600)
    sets = {"sentence polarity": polarity(0), "issue titles, 22 areas": issues("Title", 0)}
    for name, (texts, labels) in sets.items():
        clf = TextClassifier(random_state=0, max_epochs=1 if quick else 3)
        clf.fit(texts[:n_train], labels[:n_train])
        X, y = texts[n_train : n_train + n_test], labels[n_train : n_train + n_test]
        expected = clf.set_params(precision="float32").predict(X)
        files = {w: to_onnx(clf, X[:20], weights=w) for w in ("float32", "float16", "int8")}
        with tempfile.TemporaryDirectory() as folder:
            for kind, options in {
                "dynamic int8": {},
                "dynamic int8, per channel": _CHANNEL,
            }.items():
                path = Path(folder) / "quantized.onnx"
                quantize_dynamic(files["float32"], path, **options)
                files[kind] = onnx.load(path)
        seconds = _seconds(files, X, 2 if quick else 10)
        for kind, model in files.items():
            # one row at a time: a result of a dynamically quantized graph depends on its batch
            found = OnnxScorer(model, outputs="label").transform(X)[:, 0]
            n_equal, accuracy = (found == expected).sum(), (found == y).mean()
            text = (
                f"{model.ByteSize() / 1e6:.1f} MB, accuracy {accuracy:.3f}, "
                f"{n_equal} of {len(X)} labels equal, {seconds[kind]:.2f} x the time"
            )
            rows.append({"what": f"{name}: {kind}", "rival": "float32", "text": text})
    return rows


def _seconds(files, X, n_pairs):
    """The time of each file for batches of 16 rows, divided by that of the float32 file."""
    sessions = {kind: ort.InferenceSession(m.SerializeToString()) for kind, m in files.items()}
    batches = [X[start : start + 16].reshape(-1, 1) for start in range(0, min(len(X), 160), 16)]

    def work(kind):
        return lambda i: [sessions[kind].run(["label"], {"text": batch}) for batch in batches]

    others = [kind for kind in files if kind != "float32"]
    ratios = compare(work("float32"), {kind: work(kind) for kind in others}, n_pairs)
    return {"float32": 1.0} | {kind: r.median for kind, r in ratios.items()}
