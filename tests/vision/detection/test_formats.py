"""Decoders against arithmetic written out here, box by box."""

import math

import numpy as np
import pytest

from sklearn_dl import DetectionScorer
from tests.vision.detection.detectors import constant_detector

IMAGE = np.zeros((64, 64, 3), np.uint8)
rng = np.random.default_rng(0)
THRESHOLD = 0.3


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softmax(values):
    exponentials = [math.exp(v) for v in values]
    return [e / sum(exponentials) for e in exponentials]


def best(values):
    return max(range(len(values)), key=values.__getitem__)


def centered(x, y, w, h):
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def yolov2(grid, anchors):
    _, rows, columns = grid.shape
    depth = len(grid) // len(anchors)
    for a, (anchor_w, anchor_h) in enumerate(anchors):
        for row in range(rows):
            for column in range(columns):
                tx, ty, tw, th, to, *classes = grid[a * depth : (a + 1) * depth, row, column]
                x = (column + sigmoid(tx)) * 64 / columns
                y = (row + sigmoid(ty)) * 64 / rows
                w = math.exp(tw) * anchor_w * 64 / columns
                h = math.exp(th) * anchor_h * 64 / rows
                probabilities = softmax(classes)
                k = best(probabilities)
                yield centered(x, y, w, h), sigmoid(to) * probabilities[k], k


def yolov8(table):
    for column in table.T:
        k = best(list(column[4:]))
        yield centered(*column[:4]), column[4 + k], k


def yolov8_head(table, *prototypes):
    yield from yolov8(table[:9])


def yolov10(table):
    for *box, score, k in table:
        yield box, score, int(k)


def decoded(table):
    for x, y, w, h, objectness, *classes in table:
        k = best(classes)
        yield centered(x, y, w, h), objectness * classes[k], k


def corner_rows(boxes, scores):
    for box, probabilities in zip(boxes, scores, strict=True):
        k = best(list(probabilities))
        yield box, probabilities[k], k


def rt_detr_decoded(labels, boxes, scores):
    for k, box, score in zip(labels, boxes, scores, strict=True):
        yield box, score, int(k)


def picodet(scores, distances):
    for stride, probabilities, logits in zip((8, 16, 32, 64), scores, distances, strict=True):
        columns = 64 // stride
        for place in range(columns * columns):
            row, column = divmod(place, columns)
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            left, top, right, bottom = (
                stride * sum(i * p for i, p in enumerate(softmax(part)))
                for part in np.split(logits[place], 4)
            )
            k = best(list(probabilities[place]))
            yield (x - left, y - top, x + right, y + bottom), probabilities[place][k], k


def yolox(table):
    place = 0
    for stride in (8, 16, 32):
        for row in range(64 // stride):
            for column in range(64 // stride):
                x, y, w, h, objectness, *classes = table[place]
                k = best(classes)
                box = centered(
                    (x + column) * stride,
                    (y + row) * stride,
                    math.exp(w) * stride,
                    math.exp(h) * stride,
                )
                yield box, objectness * classes[k], k
                place += 1


def ssd(scores, boxes):
    for probabilities, box in zip(scores, boxes, strict=True):
        k = best(list(probabilities[1:]))
        yield [64 * edge for edge in box], probabilities[1 + k], k


def detr(logits, boxes):
    for values, box in zip(logits, boxes, strict=True):
        probabilities = softmax(values)[:-1]
        k = best(probabilities)
        yield centered(*(64 * v for v in box)), probabilities[k], k


def rt_detr(logits, boxes):
    for values, box in zip(logits, boxes, strict=True):
        probabilities = [sigmoid(v) for v in values]
        k = best(probabilities)
        yield centered(*(64 * v for v in box)), probabilities[k], k


def tables():
    """Outputs of each format, and what decodes them here."""
    anchors = [(1.0, 1.5), (2.5, 1.0), (3.0, 3.0)]
    grid = halved(rng.normal(0, 1.5, (3 * 9, 4, 4)))
    n = 30
    v8 = np.concatenate(
        [rng.uniform(5, 60, (2, n)), rng.uniform(2, 30, (2, n)), rng.random((5, n))]
    )
    x = np.concatenate(
        [rng.uniform(0, 1, (84, 2)), rng.normal(0, 0.7, (84, 2)), rng.random((84, 6))], axis=1
    )
    corners = np.sort(rng.random((n, 2, 2)), axis=1).reshape(n, 4)
    scores = rng.dirichlet(np.full(4, 0.4), n)
    logits, boxes = rng.normal(0, 2, (n, 6)), rng.uniform(0.1, 0.5, (n, 4))
    v8, x, corners, scores, logits, boxes = map(halved, (v8, x, corners, scores, logits, boxes))
    empty = np.zeros((9, 30))  # more boxes than rows
    masks, keypoints = halved(rng.normal(0, 2, (32, 60))), halved(rng.uniform(-20, 90, (34, 60)))
    seg, pose = (np.vstack([np.hstack([v8, empty]), numbers]) for numbers in (masks, keypoints))
    prototypes = halved(rng.normal(0, 2, (32, 16, 16)))
    v5 = halved(np.hstack([rng.uniform(5, 60, (252, 4)), rng.random((252, 6))]))
    v6 = np.insert(v5[:84, [0, 1, 2, 3, 5, 6, 7, 8, 9]], 4, 1, axis=1)
    found = np.column_stack([64 * corners, v8[4], rng.integers(0, 5, n)])
    names = {"classes": [0, 1, 2, 3, 4]}
    pp = halved(np.sort(rng.uniform(0, 64, (84, 2, 2)), axis=1).reshape(84, 4))
    pp_scores = v5[:84, 5:]
    levels = [halved(rng.random((side**2, 5))) for side in (8, 4, 2, 1)]
    distances = [halved(rng.normal(0, 2, (side**2, 32))) for side in (8, 4, 2, 1)]
    pico = {f"scores{i}": table for i, table in enumerate(levels)}
    pico |= {f"distances{i}": table for i, table in enumerate(distances)}
    queries = {"labels": found[:, 5], "boxes": found[:, :4], "scores": found[:, 4]}
    return {
        "ppyoloe": ({"b": pp, "s": pp_scores.T}, corner_rows(pp, pp_scores), 5, {}),
        "picodet": (pico, picodet(levels, distances), 5, {}),
        "rt-detr-decoded": (queries, rt_detr_decoded(*queries.values()), 5, names),
        "yolov5": ({"output0": v5}, decoded(v5), 5, {}),
        "yolov6": ({"outputs": v6}, decoded(v6), 5, {}),
        "yolox-decoded": ({"output": v5[:84]}, decoded(v5[:84]), 5, {}),
        "yolov8-seg": ({"output0": seg, "output1": prototypes}, yolov8_head(seg), 5, {}),
        "yolov8-pose": ({"output0": pose}, yolov8_head(pose), 5, names),
        "yolov10": ({"output0": found}, yolov10(found), 5, names),
        "yolov2": ({"grid": grid}, yolov2(grid, anchors), 4, {"anchors": anchors}),
        "yolov8": ({"output0": v8}, yolov8(v8), 5, {}),
        "yolox": ({"output": x}, yolox(x), 5, {}),
        "ssd": ({"boxes": corners, "scores": scores}, ssd(scores, corners), 3, {}),
        "detr": ({"logits": logits, "pred_boxes": boxes}, detr(logits, boxes), 5, {}),
        "rt-detr": ({"logits": logits, "pred_boxes": boxes}, rt_detr(logits, boxes), 6, {}),
    }


def halved(value):
    """What float16 holds exactly."""
    return value.astype(np.float16).astype(np.float64)


TABLES = tables()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("open_", [(), ("grid", "output0", "output", "logits", "pred_boxes")])
@pytest.mark.parametrize("name", TABLES)
def test_boxes_scores_and_classes(name, open_, dtype):
    outputs, decoded, n_classes, options = TABLES[name]
    decoded = TABLES[name][1] if isinstance(TABLES[name][1], list) else list(decoded)
    TABLES[name] = (outputs, decoded, n_classes, options)
    expected = []
    for box, score, k in decoded:
        box = np.clip(box, 0, 64)
        if score >= THRESHOLD and box[2] > box[0] and box[3] > box[1]:
            expected.append((*box, score, k))
    expected.sort(key=lambda found: -found[4])
    assert len(expected) >= 5
    detector = DetectionScorer(
        constant_detector(outputs, dtype=dtype, open_=open_),
        format=name,
        score_threshold=THRESHOLD,
        iou_threshold=1.0,
        resize_mode="fill",
        **options,
    )
    found = detector.predict([IMAGE])[0]
    assert len(found) == len(expected)
    got = np.array(found[["x0", "y0", "x1", "y1", "score", "label"]].tolist())
    np.testing.assert_allclose(got, expected, atol=1e-4)
    if not open_:
        assert detector.classes_.tolist() == list(range(n_classes))


@pytest.mark.parametrize("name", TABLES)
def test_nothing_is_found(name):
    outputs, _, _, options = TABLES[name]
    detector = DetectionScorer(constant_detector(outputs), format=name, **options)
    assert len(detector.set_params(score_threshold=1.0).predict([IMAGE])[0]) <= (name == "yolov6")


def test_one_table_of_ppyoloe():
    outputs, _, _, _ = TABLES["ppyoloe"]
    two = DetectionScorer(constant_detector(outputs), format="ppyoloe").predict([IMAGE])[0]
    table = np.hstack([outputs["b"], outputs["s"].T])
    one = DetectionScorer(constant_detector({"t": table}), format="ppyoloe").predict([IMAGE])[0]
    assert len(one) > 5
    np.testing.assert_array_equal(one, two)


def test_the_defaults_of_tiny_yolov2():
    grid = np.full((125, 13, 13), -10.0)
    grid[2 * 25 : 2 * 25 + 5, 6, 6] = [0, 0, 0, 0, 8]  # the third anchor, in the middle
    grid[2 * 25 + 5 + 11, 6, 6] = 8
    detector = DetectionScorer(constant_detector({"grid": grid}, size=(416, 416)), format="yolov2")
    (found,) = detector.predict([np.zeros((416, 416, 3), np.uint8)])[0]
    assert found["label"] == 11
    width, height = 6.63 * 32, 11.38 * 32
    expected = [208 - width / 2, 208 - height / 2, 208 + width / 2, 208 + height / 2]
    np.testing.assert_allclose([found[n] for n in ("x0", "y0", "x1", "y1")], expected, rtol=1e-5)
    assert len(detector.classes_) == 20


def test_boxes_are_told_from_four_classes_by_their_name():
    scores, boxes = np.full((3, 4), 0.25), np.full((3, 4), 0.1)
    graph = constant_detector({"out_scores": scores, "out_boxes": boxes})
    assert len(DetectionScorer(graph, format="ssd").classes_) == 3
    graph = constant_detector({"a": scores, "b": boxes})
    with pytest.raises(ValueError, match="format='ssd' expects scores of shape"):
        DetectionScorer(graph, format="ssd").predict([IMAGE])


def test_ssd_refuses_logits():
    graph = constant_detector({"scores": np.full((2, 3), 4.0), "boxes": np.zeros((2, 4))})
    with pytest.raises(ValueError, match="reads probabilities, but the scores go from 0 to 4"):
        DetectionScorer(graph, format="ssd").predict([IMAGE])


def decoded_yolox(unit=1.0):
    """A table of all cells whose boxes are in pixels (or in `unit`s), one of them certain."""
    table = np.zeros((84, 7))
    place = 0
    for stride in (8, 16, 32):
        for row in range(64 // stride):
            for column in range(64 // stride):
                center = (column + 0.5) * stride, (row + 0.5) * stride
                table[place, :4] = np.array([*center, stride, stride]) / unit
                place += 1
    table[0, 4:6] = 0.9
    return table


def yolov2_in_pixels():
    grid = np.full((8, 4, 4), -5.0)
    grid[:, 1, 1] = [30, 30, 40, 40, 5, 5, 0, 0]
    return grid


def corners_of(table):
    """Dense decoded boxes as x0, y0, x1, y1."""
    table = table.copy()
    table[:, :2], table[:, 2:4] = (
        table[:, :2] - table[:, 2:4] / 2,
        table[:, :2] + table[:, 2:4] / 2,
    )
    return table


V5 = np.zeros((252, 7))
V5[0] = [32, 32, 10, 10, 0.9, 0.9, 0]
V10 = np.zeros((40, 6))
V10[0] = [10, 10, 30, 30, 0.9, 3]
QUERIES = {"labels": V10[:, 5], "boxes": V10[:, :4], "scores": V10[:, 4]}
CORNERS = np.tile([10, 10, 30, 30], (84, 1))
PICO = {f"s{i}": np.full((side**2, 3), 5) for i, side in enumerate((8, 4, 2))}
PICO |= {f"d{i}": np.full((side**2, 32), 5) for i, side in enumerate((8, 4, 2))}
V8 = np.zeros((6, 40))
V8[:5, 0] = [32, 32, 10, 10, 0.9]
POSE = np.vstack([V8, np.full((6, 40), 40)])
FRACTIONS = np.array([[0.5, 0.5, 0.2, 0.2]] * 3)
LOGITS = np.array([[4.0, -4.0, -4.0]] * 3)
PROBABILITIES = np.array([[0.9, 0.1, 0.0]] * 3)
OBJECTNESS = np.full((8, 4, 4), 0.5)
OBJECTNESS[4] = np.linspace(0, 1, 16).reshape(4, 4)


@pytest.mark.parametrize(
    ("name", "outputs", "message"),
    [
        ("yolox", {"t": decoded_yolox()}, "centers follow the grid: the graph seems to decode"),
        ("yolox", {"t": decoded_yolox(64)}, "centers follow the grid"),
        ("yolox", {"t": np.eye(84, 7) * 30}, "reads probabilities, but the scores go from 0 to 30"),
        ("yolox", {"t": np.full((84, 7), -1.0)}, "the scores go from -1 to 0"),
        ("yolov8", {"t": V8 * 300}, "reads probabilities, but the scores go from 0 to 270"),
        ("yolov8", {"t": np.vstack([V8[:4] / 64, V8[4:]])}, "look like fractions of the input"),
        ("yolov8", {"t": V8 - 0.5}, "the scores go from -0.5 to 0.4"),
        ("yolov5", {"t": V5 * 2}, "the scores go from 0 to 1.8"),
        ("yolov5", {"t": V5 / [64, 64, 64, 64, 1, 1, 1]}, "look like fractions of the input"),
        ("yolov5", {"t": V5 * [1, 1, -1, 1, 1, 1, 1]}, "but one is -10: they look like logarithms"),
        ("yolov6", {"t": V5[:84]}, "an objectness of 1, but a box that was found has 0.9"),
        ("yolov6", {"t": corners_of(decoded_yolox())}, "the sides follow the grid"),
        (
            "yolox-decoded",
            {"t": np.full((84, 6), 0.9) * [4, 4, 4, 4, 1, 1]},
            "no coordinate of the 84 boxes is above 8",
        ),
        ("yolox-decoded", {"t": np.maximum(V5[:84], 1)}, "but it is 1 for all 84 boxes"),
        ("yolox-decoded", {"t": corners_of(decoded_yolox())}, "the sides follow the grid"),
        ("yolov10", {"t": V10[:, [4, 5, 0, 1, 2, 3]]}, "the scores go from 0 to 30"),
        ("yolov10", {"t": V10[:, [0, 1, 2, 3, 5, 4]]}, "the scores go from 0 to 3"),
        ("yolov10", {"t": V10 - [0, 0, 0, 0, 0, 0.5]}, "one is 2.5"),
        ("yolov10", {"t": V10 - [0, 0, 0, 0, 0, 4]}, "one is -1.0"),
        ("yolov10", {"t": V10 - [0, 0, 0, 0, 0, -1e30]}, r"one is 1.*e\+30"),
        ("yolov10", {"t": V10[:, [2, 3, 0, 1, 4, 5]]}, "1 of 1 end before they start"),
        ("yolov10", {"t": V10 / [64, 64, 64, 64, 1, 1]}, "look like fractions of the input"),
        ("yolov8", {"t": POSE}, "the scores go from 0 to 40"),
        ("ppyoloe", {"t": V5[:84]}, "1 of 1 end before they start: they look like centers"),
        ("ppyoloe", {"t": np.maximum(decoded_yolox(), 1)}, "of 84 end before they start"),
        ("ppyoloe", {"b": CORNERS / 64, "s": np.full((3, 84), 0.9)}, "look like fractions"),
        ("ppyoloe", {"b": CORNERS, "s": np.full((3, 84), 9)}, "the scores go from 0 to 9"),
        ("picodet", PICO, "the scores go from 0 to 5"),
        ("rt-detr-decoded", QUERIES | {"boxes": V10[:, :4] / 64}, "look like fractions"),
        ("rt-detr-decoded", QUERIES | {"boxes": V10[:, [2, 3, 0, 1]]}, "1 of 1 end before they"),
        ("rt-detr-decoded", QUERIES | {"scores": V10[:, 5]}, "the scores go from 0 to 3"),
        ("rt-detr-decoded", QUERIES | {"labels": V10[:, 5] / 2}, "one is 1.5"),
        ("ssd", {"s": PROBABILITIES[:, ::-1], "b": FRACTIONS * 64}, None),
        ("ssd", {"s": PROBABILITIES * 300, "b": FRACTIONS}, "the scores go from 0 to 270"),
        ("detr", {"s": LOGITS, "b": FRACTIONS * 64}, "boxes from 0 to 1, but they reach 32"),
        ("detr", {"s": PROBABILITIES, "b": FRACTIONS}, "look like probabilities"),
        ("rt-detr", {"s": LOGITS, "b": FRACTIONS * 64}, "boxes from 0 to 1, but they reach 32"),
        ("rt-detr", {"s": PROBABILITIES, "b": FRACTIONS}, "look like probabilities"),
        ("yolov2", {"t": yolov2_in_pixels()}, "a side would be .* times the side of the input"),
        ("yolov2", {"t": OBJECTNESS}, "reads logits, but all of them lie from 0 to 1"),
    ],
    ids=[
        *("yolox decoded", "yolox decoded from 64", "yolox above 1", "yolox below 0"),
        *("yolov8 above 1", "yolov8 fractions", "yolov8 below 0"),
        *("yolov5 above 1", "yolov5 fractions", "yolov5 raw", "yolov6 objectness"),
        *("yolov6 corners", "yolox-decoded raw", "yolox-decoded yolov6", "yolox-decoded corners"),
        *("yolov10 paddle", "yolov10 swapped", "yolov10 halves"),
        *("yolov10 negative class", "yolov10 huge class", "yolov10 centers"),
        *("yolov10 fractions", "yolov8 pose"),
        *("ppyoloe centers", "ppyoloe yolov6", "ppyoloe fractions", "ppyoloe above 1"),
        *("picodet above 1", "rt-detr-decoded fractions", "rt-detr-decoded centers"),
        *("rt-detr-decoded above 1", "rt-detr-decoded halves"),
        *("ssd pixels", "ssd above 1", "detr pixels", "detr probabilities"),
        *("rt-detr pixels", "rt-detr probabilities", "yolov2 pixels", "yolov2 probabilities"),
    ],
)
def test_numbers_of_another_format_are_refused(name, outputs, message):
    anchors = {"anchors": [[1, 1]]} if name == "yolov2" else {}
    detector = DetectionScorer(constant_detector(outputs), format=name, **anchors)
    message = message or "boxes from 0 to 1, but they reach 32"
    with pytest.raises(ValueError, match=message) as raised:
        detector.predict([IMAGE])
    assert raised.value.__notes__ == ["Row 0"]


@pytest.mark.parametrize(
    ("center", "sides"), [((20, 20), (3, 3)), ((2, 2), (6, 2)), ((0.5, 0.5), (100, 100))]
)
def test_one_decoded_box_is_refused(center, sides):
    table = np.zeros((84, 6))
    table[3] = [*center, *sides, 1, 0.9]
    detector = DetectionScorer(constant_detector({"t": table}), format="yolox")
    with pytest.raises(ValueError, match="the graph seems to decode them itself"):
        detector.predict([IMAGE])


def test_numbers_that_quantization_rounds_are_accepted():
    table = V8.copy()
    table[4, :2] = [1.004, -0.004]
    found = DetectionScorer(constant_detector({"t": table}), format="yolov8").predict([IMAGE])[0]
    assert found["score"].tolist() == [np.float32(1.004)]
