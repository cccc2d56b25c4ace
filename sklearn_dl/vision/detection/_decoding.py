"""Turn the outputs of ObjectDetector's head into detections."""

import numpy as np

from sklearn_dl.metrics._boxes import BOX_FIELDS, detection_dtype, suppress
from sklearn_dl.vision.detection._views import moved_back

# largest number of candidates (peaks of the heat maps) of an image
N_CANDIDATES = 1000


def candidates_of(logits, distances, stride, moves, sizes):
    """The boxes at the peaks of heat maps.

    A peak is a cell with the highest score of its class among its eight neighbours.

    Parameters
    ----------
    logits, distances : Tensor
        As DetectionHead returns them, for images whose canvases have equal sizes.
    stride : int
    moves : float64 ndarray of shape (n, 4)
    sizes : int ndarray of shape (n, 2)
        (width, height) of the images.

    Returns
    -------
    candidates : list of float64 ndarray of shape (n_candidates, 6)
        For each image: x0, y0, x1, y1 in pixels of the image, the score, and the number of the
        class. The highest score comes first.
    """
    import torch
    from torch.nn import functional

    n, _, height, width = logits.shape
    is_peak = functional.max_pool2d(logits, 3, 1, 1) == logits
    scores = logits.sigmoid().masked_fill(~is_peak, 0.0).reshape(n, -1)
    scores, index = scores.topk(min(N_CANDIDATES, scores.shape[1]), dim=1)
    cell = index % (height * width)
    near = distances.reshape(n, 4, -1).gather(2, cell[:, None].expand(-1, 4, -1))
    x, y = cell % width + 0.5, cell.div(width, rounding_mode="floor") + 0.5
    boxes = stride * torch.stack(
        [x - near[:, 0], y - near[:, 1], x + near[:, 2], y + near[:, 3]], dim=2
    )
    values = (boxes, scores, index.div(height * width, rounding_mode="floor"))
    found = []
    for box, score, number, move, size in zip(
        *(tensor.cpu().numpy().astype(np.float64) for tensor in values), moves, sizes, strict=True
    ):
        box = moved_back(box, move).reshape(-1, 2, 2).clip(0, size).reshape(-1, 4)
        kept = (score > 0) & (box[:, 2:] > box[:, :2]).all(axis=1)
        found.append(np.column_stack([box, score, number])[kept])
    return found


def detections_of(candidates, classes, score_threshold, iou_threshold, max_detections):
    """The detections of one image, as a structured ndarray.

    Parameters
    ----------
    candidates : float64 ndarray of shape (n_candidates, 6)
    classes : ndarray of shape (n_classes,)
    score_threshold, iou_threshold, max_detections
        As in ObjectDetector.
    """
    candidates = candidates[candidates[:, 4] >= score_threshold]
    kept = suppress(
        candidates[:, :4], candidates[:, 4], candidates[:, 5], iou_threshold, max_detections
    )
    made = np.empty(len(kept), dtype=detection_dtype(classes.dtype))
    for name, edge in zip(BOX_FIELDS, candidates[kept, :4].T, strict=True):
        made[name] = edge
    made["score"] = candidates[kept, 4]
    made["label"] = classes[candidates[kept, 5].astype(np.int64)]
    return made
