"""Quality of a detector that is trained on blood cells (BCCD), and the CPU seconds of its fit."""

import time

import numpy as np
import torch
import transformers
from PIL import Image

from benchmarks._shared import data
from benchmarks.text_training import quiet
from sklearn_dl import DetectionScorer, ObjectDetector
from sklearn_dl.datasets import load_detections
from sklearn_dl.metrics import make_detections, mean_average_precision_score
from sklearn_dl.models._torch_to_onnx import torch_to_onnx
from sklearn_dl.vision.detection._decoding import candidates_of

BARS = {"mAP50": 0.87, "COCO mAP": 0.49}
SIZE = (480, 352)  # of the canvas for an image of 640 x 480


def cells(split):
    found = load_detections(data("boxes/bccd"), split=split)
    return np.array(found.data), found.target


def scores(y_true, y_pred, max_detections=100):
    return {
        name: mean_average_precision_score(
            y_true, y_pred, iou_thresholds=thresholds, max_detections=max_detections
        )
        for name, thresholds in (("mAP50", 0.5), ("COCO mAP", "coco"))
    }


def fitted(X, y, seed, **params):
    """A fitted detector, and the CPU seconds of its fit."""
    before = time.process_time()
    detector = ObjectDetector(random_state=seed, precision="float32", **params).fit(X, y)
    return detector, time.process_time() - before


def run(quick=False):
    quiet()
    (X, y), (X_test, y_test) = cells("trainval"), cells("test")
    params = {"max_epochs": 1} if quick else {}
    seeds = range(1) if quick else range(2)
    made = [fitted(X, y, seed, **params) for seed in seeds]
    found = [scores(y_test, detector.predict(X_test)) for detector, _ in made]
    seconds = [seconds for _, seconds in made]
    few, seconds_few = fitted(X[:50], y[:50], 0, **params)
    return [
        _row(f"{len(X)} images to train, {len(X_test)} to test", _text(found, seconds, BARS)),
        _row(
            "the first 50 images to train",
            _text([scores(y_test, few.predict(X_test))], [seconds_few], {"mAP50": 0.75}),
        ),
        _overfitting(X, y, params),
        _rival(X, y, X_test, y_test, np.mean(seconds)),
        *_mosaics(made[0][0], X_test, y_test),
    ]


def _row(what, text, rival=""):
    return {"what": f"BCCD, {what}", "rival": rival, "text": text}


def _text(found, seconds, bars):
    parts = []
    for name in found[0]:
        each = [scores[name] for scores in found]
        bar = bars.get(name)
        met = "" if bar is None else f"; >= {bar}: {'met' if np.mean(each) >= bar else 'MISSED'}"
        parts.append(f"{name} {np.mean(each):.3f} (of {', '.join(f'{s:.3f}' for s in each)}{met})")
    return f"{', '.join(parts)}, {np.mean(seconds):.0f} CPU seconds to fit"


def _overfitting(X, y, params):
    """How far the score on validation images is below its peak after the last epoch."""
    detector = ObjectDetector(
        random_state=0, precision="float32", early_stopping=True, n_iter_no_change=1000, **params
    )
    detector.fit(X[:150], y[:150], X_val=X[150:], y_val=y[150:])
    of_epoch = detector.history_["validation_score"]
    below = max(of_epoch) - of_epoch[-1]
    text = f"mAP50 on {len(X) - 150} others: peak {max(of_epoch):.3f}, last epoch {below:.3f} below"
    return _row("150 images to train", f"{text} (<= 0.02: {'met' if below <= 0.02 else 'MISSED'})")


def _rival(X, y, X_test, y_test, seconds):
    """transformers' RT-DETR with random weights, trained for the same CPU seconds."""
    labels = sorted({label for image in y for label in image["label"].tolist()})
    torch.manual_seed(0)
    model = transformers.RTDetrForObjectDetection(
        transformers.RTDetrConfig(
            num_labels=len(labels),
            backbone_config=transformers.RTDetrResNetConfig(
                depths=[2, 2, 2, 2],
                hidden_sizes=[64, 128, 256, 512],
                layer_type="basic",
                out_features=["stage2", "stage3", "stage4"],
            ),
            encoder_in_channels=[128, 256, 512],
            decoder_layers=3,
        )
    )
    processor = transformers.RTDetrImageProcessor(size={"width": SIZE[0], "height": SIZE[1]})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rng, before, n_images = np.random.default_rng(0), time.process_time(), 0
    model.train()
    while time.process_time() - before < seconds:
        rows = rng.choice(len(X), 4, replace=False)
        images = [Image.open(X[row]).convert("RGB") for row in rows]
        goals = []
        for row, image in zip(rows, images, strict=True):
            x0, y0, x1, y1 = (
                y[row][name] / side
                for name, side in zip(("x0", "y0", "x1", "y1"), image.size * 2, strict=True)
            )
            boxes = np.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], axis=1)
            classes = [labels.index(label) for label in y[row]["label"].tolist()]
            goals.append(
                {
                    "boxes": torch.tensor(boxes, dtype=torch.float32),
                    "class_labels": torch.tensor(classes),
                }
            )
        loss = model(**processor(images, return_tensors="pt"), labels=goals).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
        n_images += len(rows)
    model.eval()
    found = []
    with torch.inference_mode():
        for path in X_test:
            image = Image.open(path).convert("RGB")
            outputs = model(**processor([image], return_tensors="pt"))
            (one,) = processor.post_process_object_detection(
                outputs, threshold=0.05, target_sizes=[image.size[::-1]]
            )
            names = np.array(labels)[one["labels"].numpy()]
            found.append(make_detections(one["boxes"].numpy(), names, one["scores"].numpy()))
    text = (
        f"mAP50 {scores(y_test, found)['mAP50']:.3f} after {n_images} images in the same CPU time"
    )
    return _row(f"{len(X)} images to train", text, "transformers' RT-DETR (R18), random weights")


class _Whole(torch.nn.Module):
    """The pretrained backbone and the trained head, from pixels to the head's outputs."""

    def __init__(self, body, head):
        super().__init__()
        self.body, self.head = body, head

    def forward(self, pixels):
        return self.head(self.body.maps(pixels))


def _mosaics(detector, X, y):
    """Mosaics of 4 x 4 images, scored as a whole or in tiles."""
    network = detector._predictor.network
    whole = _Whole(network.content.network().body, network.live.head).eval()
    model = torch_to_onnx(
        lambda: whole,
        {"pixels": torch.zeros(1, 3, SIZE[1], SIZE[0])},
        ["logits", "distances"],
        {"pixels": {}},
        purpose="the benchmark",
        extra="vision",
    )

    def decode(outputs, geometry):
        logits, distances = (torch.from_numpy(values)[None] for values in outputs.values())
        move, size = np.array([[1.0, 1.0, 0.0, 0.0]]), np.array([geometry.input_size])
        (found,) = candidates_of(logits, distances, 8, move, size)
        return found[:, :4], found[:, 4], found[:, 5].astype(int)

    images, objects = [], []
    for start in range(0, len(X) - 15, 16):
        canvas = Image.new("RGB", (4 * 640, 4 * 480))
        parts = []
        for place in range(16):
            left, top = 640 * (place % 4), 480 * (place // 4)
            canvas.paste(Image.open(X[start + place]), (left, top))
            moved = y[start + place].copy()
            for name, by in (("x0", left), ("x1", left), ("y0", top), ("y1", top)):
                moved[name] += by
            parts.append(moved)
        images.append(canvas)
        objects.append(np.concatenate(parts))
    rows = []
    for tile in (None, (640, 480)):
        scorer = DetectionScorer(
            model.SerializeToString(),
            format=decode,
            classes=detector.classes_,
            **network.content.pixels,
            score_threshold=0.05,
            iou_threshold=0.6,
            max_detections=3000,
            tile=tile,
        )
        found = scores(objects, scorer.predict(images), max_detections=1000)
        text = ", ".join(f"{name} {score:.3f}" for name, score in found.items())
        rows.append(_row(f"{len(images)} mosaics of 4 x 4 images, tile={tile}", text))
    return rows
