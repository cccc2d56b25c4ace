"""Scoring images with EfficientNet-Lite0, against four ways to write it by hand."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numpy as np
import onnxruntime as ort
from joblib import cpu_count
from PIL import Image, ImageOps
from sklearn.pipeline import make_pipeline

from benchmarks._images import image_paths
from benchmarks._ratio import compare
from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor
from sklearn_dl.models import model_path
from sklearn_dl.utils._threads import thread_budget

SIZE = (224, 224)


def pipeline(**kwargs):
    return make_pipeline(
        ImageLoader(),
        ImageResizer(*SIZE),
        PixelExtractor(offset=127, scale=1 / 128),
        OnnxScorer("efficientnet-lite0", outputs="logits", **kwargs),
    )


def session(n_threads=None):
    options = ort.SessionOptions()
    if n_threads is not None:
        options.intra_op_num_threads = n_threads
    return ort.InferenceSession(
        model_path("efficientnet-lite0"), options, providers=["CPUExecutionProvider"]
    )


def load(path):
    with Image.open(path) as image:
        return image.convert("RGB")


def load_reduced(path):
    """Decode at the smallest scale that is twice the output, then crop and resize."""
    with Image.open(path) as image:
        scale = max(SIZE[0] / image.width, SIZE[1] / image.height)
        image.draft(None, (round(image.width * scale * 2), round(image.height * scale * 2)))
        return ImageOps.fit(image.convert("RGB"), SIZE, Image.Resampling.BILINEAR)


def numbers(image):
    return (np.asarray(image, dtype=np.float32).transpose(2, 0, 1) - 127) / 128


def row_by_row(run):
    """(a) As ML.NET does it: one image after another, with one row in each session run."""

    def work(paths):
        out = []
        for path in paths:
            image = ImageOps.fit(load(path), SIZE, Image.Resampling.BILINEAR)
            out.append(run(["logits"], {"image": numbers(image)[None]})[0])
        return np.concatenate(out)

    return work


def eager_steps(run):
    """(b) scikit-learn steps that pass on whole lists; the last one scores batches of 32."""

    def work(paths):
        images = [load(path) for path in paths]
        images = [ImageOps.fit(image, SIZE, Image.Resampling.BILINEAR) for image in images]
        pixels = np.stack([numbers(image) for image in images])
        batches = [pixels[i : i + 32] for i in range(0, len(pixels), 32)]
        return np.concatenate([run(["logits"], {"image": batch})[0] for batch in batches])

    return work


def overlapped(run):
    """(c1) The limit: while one batch is scored, threads decode the next at reduced scale."""

    def work(paths):
        out = []
        with ThreadPoolExecutor(cpu_count()) as pool:
            ahead = 16
            futures = [pool.submit(lambda p: numbers(load_reduced(p)), p) for p in paths[:ahead]]
            for start in range(0, len(paths), 4):
                batch = [future.result() for future in futures[:4]]
                futures = futures[4:]
                more = paths[start + ahead : start + ahead + 4]
                futures += [pool.submit(lambda p: numbers(load_reduced(p)), p) for p in more]
                out.append(run(["logits"], {"image": np.stack(batch)})[0])
        return np.concatenate(out)

    return work


def side_by_side(run):
    """(c2) The limit in another way: each thread decodes and scores its own batches."""

    def work(paths):
        out = np.empty((len(paths), 1000), np.float32)
        turn = count(0, 4)

        def batches():
            while (start := next(turn)) < len(paths):
                batch = np.stack([numbers(load_reduced(p)) for p in paths[start : start + 4]])
                out[start : start + 4] = run(["logits"], {"image": batch})[0]

        with ThreadPoolExecutor(cpu_count()) as pool:
            for future in [pool.submit(batches) for _ in range(cpu_count())]:
                future.result()
        return out

    return work


def run(quick=False):
    n_images, n_each, n_pairs = (64, 32, 5) if quick else (256, 64, 20)
    every = session().run
    alone = session(1).run
    ways = {
        "(a) row by row, as ML.NET": row_by_row(every),
        "(b) eager steps, batches of 32": eager_steps(every),
        "(c1) by hand: decode ahead, score": overlapped(every),
        "(c2) by hand: side by side": side_by_side(alone),
    }
    bars = {
        640: {"(a)": 1.25, "(b)": 1.2, "(c1)": 0.95, "(c2)": 0.95},
        1600: {"(a)": 2.0, "(b)": 1.2, "(c1)": 0.95, "(c2)": 0.95},
        4000: {"(a)": 5.0, "(b)": 1.2, "(c1)": 0.95, "(c2)": 0.95},
    }
    pipe = pipeline()
    assert thread_budget() == cpu_count()
    rows = []
    for long_side, bar in bars.items():
        paths = image_paths(long_side, n_images)

        def part(i, paths=paths):
            start = i * n_each % len(paths)
            return paths[start : start + n_each]

        difference = np.abs(pipe.transform(part(0)) - ways["(c2) by hand: side by side"](part(0)))
        # `draft` rounds sizes up by a fraction of a pixel, which the hand-written loops ignore
        assert difference.mean() < 0.1, difference.mean()
        ratios = compare(
            lambda i: pipe.transform(part(i)),
            {name: (lambda i, way=way: way(part(i))) for name, way in ways.items()},
            n_pairs,
        )
        for name, ratio in ratios.items():
            rows.append(
                {
                    "what": f"images of {long_side} pixels",
                    "rival": name,
                    "bar": bar[name.split()[0]],
                    "ms_each": 1000 * ratio.ours_seconds / n_each,
                    **ratio._asdict(),
                }
            )
            print(rows[-1]["what"], name, ratio, flush=True)
    return rows
