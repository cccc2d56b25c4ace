import io

import matplotlib
import numpy as np
import pytest

from sklearn_dl.inspection import ImageGridDisplay

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    matplotlib.pyplot.close("all")


IMAGES = [np.full((10, 20, 3), level, dtype=np.uint8) for level in (0, 128, 255)]


def test_one_title_per_image_and_empty_places_left_blank():
    display = ImageGridDisplay.from_predictions(
        IMAGES, ["a", "b", "c"], [0.5, 0.25, 1], n_columns=2
    )
    titles = [axes.get_title() for axes in display.axes_.flat]
    assert titles == ["a 0.50", "b 0.25", "c 1.00", ""]
    assert display.figure_.axes == list(display.axes_.flat)


def test_top_k_and_pixels():
    labels = [["a", "b"], ["b", "a"], ["c", "a"]]
    display = ImageGridDisplay.from_predictions(IMAGES, labels, image_size=40)
    assert display.axes_[0, 1].get_title() == "b\na"
    drawn = display.axes_[0, 1].images[0].get_array()
    assert drawn.shape == (40, 40, 3)
    assert drawn[20, 20].tolist() == [128] * 3
    assert drawn[0, 0].tolist() == [255] * 3
    wide = ImageGridDisplay.from_predictions(IMAGES, labels, image_size=(60, 40))
    assert wide.axes_[0, 1].images[0].get_array().shape == (40, 60, 3)


def test_titles_are_inside_the_image_that_is_saved_first():
    labels = [["a", "b", "c"]] * 3
    figure = ImageGridDisplay.from_predictions(IMAGES, labels, n_columns=3).figure_
    figure.savefig(io.BytesIO())
    for axes in figure.axes:
        assert axes.title.get_window_extent().y1 <= figure.bbox.y1


def test_an_unreadable_image_leaves_its_place_empty():
    display = ImageGridDisplay.from_predictions(
        [IMAGES[0], "missing.jpg", b"text"], ["a", "?", "?"], [0.5, np.nan, np.nan]
    )
    assert [len(axes.images) for axes in display.axes_.flat] == [1, 0, 0]
    assert display.axes_.flat[1].get_title() == "?"


def test_disagreeing_lengths_and_shapes():
    with pytest.raises(ValueError, match="3 images, but `labels` has 2 rows"):
        ImageGridDisplay.from_predictions(IMAGES, ["a", "b"])
    with pytest.raises(
        ValueError, match=r"`scores` has shape \(3, 2\), but `labels` has shape \(3, 1\)"
    ):
        ImageGridDisplay.from_predictions(IMAGES, ["a", "b", "c"], np.ones((3, 2)))


def test_missing_matplotlib(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn-dl\[demo\]"'):
        ImageGridDisplay.from_predictions(IMAGES, ["a", "b", "c"])
