"""Speed of ImageClassifier and DetectionScorer, against loops written by hand."""

import math
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
from joblib import cpu_count
from PIL import Image
from sklearn.model_selection import cross_val_score

from benchmarks._images import image_paths
from benchmarks._ratio import compare
from benchmarks._shared import data
from benchmarks.images import pipeline
from sklearn_dl import DetectionScorer, ImageClassifier

YOLOX = "onnx/yolox_nano/yolox_nano.onnx"
THRESHOLD, IOU = 0.3, 0.45
SIDE = 416


def cracks():
    """400 images of concrete (SDNET2018) of 256 pixels, as bytes, and "cracked" or "whole"."""
    with zipfile.ZipFile(data("images/sdnet2018_crack/assets.zip")) as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith(".jpg"))
        images = [archive.read(name) for name in names]
    labels = np.array(["cracked" if "/CD/" in name else "whole" for name in names])
    order = np.random.default_rng(0).permutation(len(names))
    return [images[i] for i in order], labels[order]


def run(quick=False):
    n_pairs = 3 if quick else 20
    rows = [*_heads(n_pairs), *_detectors(n_pairs, 16 if quick else 64)]
    return rows


def _row(what, rival, ratio, n, bar):
    found = {"what": what, "rival": rival, "bar": bar, "ms_each": 1000 * ratio.ours_seconds / n}
    return found | ratio._asdict()


def _heads(n_pairs):
    X, y = cracks()
    scorer = pipeline().set_params(onnxscorer__outputs="features")
    some = slice(0, 300)
    ratio = compare(
        lambda i: ImageClassifier().fit(X[some], y[some]),
        {"pass": lambda i: scorer.transform(X[some])},
        n_pairs,
    )["pass"]
    yield _row("fit of 300 images", "their features alone", ratio, 300, 0.91)

    def folds(i):
        with tempfile.TemporaryDirectory() as folder:
            cross_val_score(ImageClassifier(memory=folder), X, y, cv=5)

    ratio = compare(folds, {"pass": lambda i: scorer.transform(X)}, n_pairs)["pass"]
    yield _row("5 folds of 400 images, memory=", "their features alone", ratio, 400, 0.77)
    n_pairs = min(n_pairs, 5)
    ratio = compare(
        folds, {"plain": lambda i: cross_val_score(ImageClassifier(), X, y, cv=5)}, n_pairs
    )["plain"]
    rival = f"without memory ({n_pairs} pairs)"
    yield _row("5 folds of 400 images, memory=", rival, ratio, 400, None)


def letterboxed(path):
    image = Image.open(path).convert("RGB")
    scale = min(SIDE / image.width, SIDE / image.height)
    size = round(image.width * scale), round(image.height * scale)
    canvas = np.full((SIDE, SIDE, 3), 114, np.uint8)
    canvas[: size[1], : size[0]] = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    return np.ascontiguousarray(canvas[..., ::-1].transpose(2, 0, 1), np.float32), scale


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


def plain_script(session, paths):
    """(a) A loop over images and boxes, as in tutorials."""
    results = []
    for path in paths:
        pixels, scale = letterboxed(path)
        table = session.run(None, {"images": pixels[None]})[0][0]
        found, place = [], 0
        for stride in (8, 16, 32):
            for row in range(SIDE // stride):
                for column in range(SIDE // stride):
                    x, y, w, h, objectness, *classes = table[place].tolist()
                    place += 1
                    k = max(range(len(classes)), key=classes.__getitem__)
                    score = objectness * classes[k]
                    if score < THRESHOLD:
                        continue
                    x, y = (x + column) * stride, (y + row) * stride
                    w, h = math.exp(w) * stride, math.exp(h) * stride
                    box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                    found.append(([edge / scale for edge in box], score, k))
        found.sort(key=lambda one: -one[1])
        kept: list = []
        for one in found:
            if all(one[2] != k or overlap(one[0], box) <= IOU for box, _, k in kept):
                kept.append(one)
        results.append(kept)
    return results


CELLS = np.concatenate(
    [
        np.stack([*np.meshgrid(np.arange(SIDE // s), np.arange(SIDE // s))], -1).reshape(-1, 2)
        for s in (8, 16, 32)
    ]
)
STRIDES = np.concatenate([np.full(((SIDE // s) ** 2, 1), s) for s in (8, 16, 32)])


def by_hand(session, paths):
    """(b) The limit: each thread loads, scores and decodes images with numpy."""

    def one(path):
        pixels, scale = letterboxed(path)
        table = session.run(None, {"images": pixels[None]})[0][0]
        table, cells, strides = (a[table[:, 4] >= THRESHOLD] for a in (table, CELLS, STRIDES))
        classes = table[:, 5:].argmax(1)
        scores = table[:, 4] * table[np.arange(len(table)), 5 + classes]
        good = scores >= THRESHOLD
        table, cells, strides, classes, scores = (
            a[good] for a in (table, cells, strides, classes, scores)
        )
        center, half = (table[:, :2] + cells) * strides, np.exp(table[:, 2:4]) * strides / 2
        boxes = np.hstack([center - half, center + half]) / scale
        order, kept = list(np.argsort(-scores)), []
        for i in order:
            if all(classes[i] != classes[k] or overlap(boxes[i], boxes[k]) <= IOU for k in kept):
                kept.append(i)
        return boxes[kept], scores[kept], classes[kept]

    with ThreadPoolExecutor(cpu_count()) as pool:
        return list(pool.map(one, paths))


def _detectors(n_pairs, n):
    paths = image_paths(640, n)
    sessions = []
    for n_threads in (0, 1):
        options = ort.SessionOptions()
        options.intra_op_num_threads = n_threads
        sessions.append(
            ort.InferenceSession(data(YOLOX), options, providers=["CPUExecutionProvider"])
        )
    detector = DetectionScorer(
        data(YOLOX), format="yolox", score_threshold=THRESHOLD, iou_threshold=IOU
    )
    found, theirs = detector.predict(paths), plain_script(sessions[0], paths)
    different = sum(len(a) != len(b) for a, b in zip(found, theirs, strict=True))
    ratios = compare(
        lambda i: detector.predict(paths),
        {
            "plain": lambda i: plain_script(sessions[0], paths),
            "hand": lambda i: by_hand(sessions[1], paths),
        },
        n_pairs,
    )
    what = f"YOLOX-Nano on {n} images of 640 pixels"
    rival = f"image by image, Python loops (other objects in {different})"
    yield _row(what, rival, ratios["plain"], n, 2.0)
    yield _row(what, "by hand: side by side, numpy", ratios["hand"], n, 0.95)
