import matplotlib as mpl
import numpy as np
import pytest

from sklearn_dl.inspection import DetectionDisplay
from sklearn_dl.metrics import make_detections

mpl.use("Agg")
IMAGE = np.zeros((60, 80, 3), np.uint8)
FOUND = make_detections([[10, 20, 30, 50], [0, 0, 5, 5]], ["cat", "$dog$"], [0.9, 0.456])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    mpl.pyplot.close("all")


def test_boxes_and_texts():
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    display = DetectionDisplay.from_predictions(IMAGE, FOUND, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert [text.get_text() for text in display.texts_] == ["$dog$ 0.46", "cat 0.90"]
    assert [box.get_bbox().extents.tolist() for box in display.boxes_] == [
        [0, 0, 5, 5],
        [10, 20, 30, 50],
    ]
    assert display.boxes_[0].get_edgecolor() != display.boxes_[1].get_edgecolor()


def test_nothing_found():
    display = DetectionDisplay.from_predictions(IMAGE, FOUND[:0])
    assert display.boxes_ == []
    assert len(display.ax_.images) == 1


@pytest.mark.parametrize(
    "detections", [None, np.zeros((2, 4)), [1, 2]], ids=["None", "array", "list"]
)
def test_what_are_not_detections_is_an_error(detections):
    with pytest.raises(ValueError, match="the structured array that DetectionScorer"):
        DetectionDisplay.from_predictions(IMAGE, detections)


def test_an_image_that_cannot_be_read():
    with pytest.raises(FileNotFoundError):
        DetectionDisplay.from_predictions("nowhere.jpg", FOUND)
