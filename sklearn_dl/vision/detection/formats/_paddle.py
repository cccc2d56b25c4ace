"""Formats of PaddleDetection: PP-YOLOE and PicoDet."""

import numpy as np
from scipy.special import softmax

from sklearn_dl.vision.detection.formats._base import (
    IMAGENET_MEAN,
    IMAGENET_SCALE,
    Candidates,
    Format,
)
from sklearn_dl.vision.detection.formats._boxes import cells, n_cells
from sklearn_dl.vision.detection.formats._checks import (
    check_probabilities,
    refuse_centers,
    refuse_fractions,
)


class PpYoloe(Format):
    """Boxes x0, y0, x1, y1 in pixels and class probabilities: two outputs, or one table.

    Xu et al., PP-YOLOE, 2022, exported with ``exclude_nms`` (two outputs) or
    ``exclude_post_process`` (one table). Pixels are scaled with ImageNet's mean and standard
    deviation. PP-YOLOE+ gets RGB / 255 instead.
    """

    name = "ppyoloe"
    resize_mode = "fill"
    offset = IMAGENET_MEAN
    scale = IMAGENET_SCALE
    strides = (8, 16, 32)
    expects = (
        "boxes of shape (n_boxes, 4) and scores of shape (n_classes, n_boxes), or one output of "
        "shape (n_boxes, 4 + n_classes), with one box for each cell"
    )

    def choose(self, facts):
        shapes = list(facts.shapes.values())
        if any(len(shape) != 2 for shape in shapes) or len(shapes) > 2:
            return None
        sizes = (None, n_cells(facts.size, self.strides))
        if len(shapes) == 1:
            rows, columns = shapes[0]
            return [0] if rows in sizes and (columns is None or columns > 4) else None
        for boxes, scores in ((0, 1), (1, 0)):
            if shapes[boxes][1] == 4 and {shapes[boxes][0], shapes[scores][1]} <= set(sizes):
                return [boxes, scores]
        return None

    def n_classes(self, facts, chosen):
        shapes = list(facts.shapes.values())
        if len(chosen) == 2:
            return shapes[chosen[1]][0]
        columns = shapes[0][1]
        return None if columns is None else columns - 4

    def is_likely(self, facts):
        """Whether no output has the name of an output of YOLOv5, YOLOX or YOLOv6.

        Their outputs have the same shape.
        """
        others = {"output", "outputs", "output0"}
        return super().is_likely(facts) and not others & facts.shapes.keys()

    def decode(self, outputs, context):
        boxes, *scores = outputs.values()
        probabilities = scores[0].T if scores else boxes[:, 4:]
        check_probabilities(self.name, probabilities)
        best = probabilities.argmax(axis=1)
        scores = probabilities[np.arange(len(best)), best]
        kept = scores >= context.threshold
        found = boxes[kept, :4].astype(np.float64)
        refuse_fractions(self.name, boxes[:, :4], len(found))
        refuse_centers(self.name, found)
        return Candidates(found, scores[kept], best[kept])


class PicoDet(Format):
    """A table of class probabilities for each of 3 or 4 grids, then a table of distances for each.

    A row belongs to a cell. Its distances from the middle of the cell to the four edges of the box
    are distributions: logits of the distances 0, 1, ... in cells. Yu et al., PP-PicoDet, 2021,
    exported without its post-processing.
    """

    name = "picodet"
    size = 416
    resize_mode = "fill"
    offset = IMAGENET_MEAN
    scale = IMAGENET_SCALE
    strides = (8, 16, 32, 64)
    expects = (
        "for each of 3 or 4 grids, scores of shape (n_cells, n_classes), then for each of them "
        "distances of shape (n_cells, 4 * n_bins)"
    )

    def choose(self, facts):
        shapes, n_grids = list(facts.shapes.values()), len(facts.shapes) // 2
        if len(shapes) != 2 * n_grids or n_grids not in (3, 4) or any(len(s) != 2 for s in shapes):
            return None
        sizes = [n_cells(facts.size, (stride,)) for stride in self.strides[:n_grids]] * 2
        columns = [{shape[1] for shape in part} for part in (shapes[:n_grids], shapes[n_grids:])]
        if any(len(numbers) > 1 for numbers in columns):
            return None
        n_numbers = shapes[-1][1]
        fits = n_numbers is None or (n_numbers % 4 == 0 and n_numbers > 4)
        rows = [shape[0] in (None, size) for shape, size in zip(shapes, sizes, strict=True)]
        return list(range(len(shapes))) if fits and all(rows) else None

    def n_classes(self, facts, chosen):
        return next(iter(facts.shapes.values()))[1]

    def decode(self, outputs, context):
        tables = list(outputs.values())
        n_grids = len(tables) // 2
        probabilities = np.concatenate(tables[:n_grids])
        check_probabilities(self.name, probabilities)
        best = probabilities.argmax(axis=1)
        scores = probabilities[np.arange(len(best)), best]
        kept = scores >= context.threshold
        logits = np.concatenate(tables[n_grids:])[kept].astype(np.float64)
        logits = logits.reshape(len(logits), 4, logits.shape[1] // 4)
        distances = softmax(logits, axis=2) @ np.arange(logits.shape[2])
        places, strides = cells(context.size, self.strides[:n_grids])
        middles = np.tile(places[kept] + 0.5, 2)
        boxes = (middles + distances * [-1, -1, 1, 1]) * strides[kept]
        return Candidates(boxes, scores[kept], best[kept])
