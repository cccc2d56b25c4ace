import io
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from PIL import Image

from sklearn_dl import ImageLoader
from sklearn_dl.images import ImageReadError
from sklearn_dl.inspection import DetectionDisplay
from sklearn_dl.inspection._detection_panels import box_styles
from sklearn_dl.metrics import make_detections

mpl.use("Agg")
IMAGE = np.zeros((60, 80, 3), np.uint8)
FOUND = make_detections([[0, 0, 5, 5], [10, 20, 30, 50]], ["$dog$", "cat"], [0.456, 0.9])
TRUE = make_detections([[10, 20, 30, 50]], ["cat"])
draw = DetectionDisplay.from_predictions


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def captions(display):
    return [[text.get_text() for text in texts] for texts in display.texts_]


def titles(display):
    return [axes.get_title() for axes in display.axes_.flat]


def colors(display, panel=-1):
    """The color of each label in a panel."""
    pairs = zip(display.texts_[panel], display.boxes_[panel], strict=True)
    return {text.get_text().split()[0]: box.get_edgecolor() for text, box in pairs}


def crowd(n_objects=30, seed=0):
    """Many objects in an image of 640 x 480 pixels."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, [560, 400], (n_objects, 2))
    boxes = np.hstack([low, low + rng.uniform(20, 80, (n_objects, 2))])
    scores = rng.uniform(0.3, 1, n_objects)
    return make_detections(boxes, rng.choice(["RBC", "WBC", "Platelets"], n_objects), scores)


def tags(display, panel=0):
    """The extents of the tags of a panel."""
    return [text.get_bbox_patch().get_window_extent().extents for text in display.texts_[panel]]


def assert_apart_and_inside(extents, axes):
    x0, y0, x1, y1 = axes.get_window_extent().extents
    for i, a in enumerate(extents):
        assert x0 - 0.5 <= a[0] < a[2] <= x1 + 0.5
        assert y0 - 0.5 <= a[1] < a[3] <= y1 + 0.5
        for b in extents[:i]:
            sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            assert sides.min() <= 0


def test_boxes_and_texts_of_one_image():
    display = draw(IMAGE, FOUND)
    assert display.axes_.shape == (1, 1)
    assert display.figure_ is display.axes_[0, 0].figure
    assert captions(display) == [["cat 0.90", "$dog$ 0.46"]]
    assert titles(display) == [""]
    assert [box.get_bbox().extents.tolist() for box in display.boxes_[0]] == [
        [10, 20, 30, 50],
        [0, 0, 5, 5],
    ]


def test_truth_beside_predictions():
    display = draw(IMAGE, FOUND, y_true=TRUE)
    assert captions(display) == [["cat"], ["cat 0.90", "$dog$ 0.46"]]
    assert titles(display) == ["true", "predicted"]
    assert colors(display, 0)["cat"] == colors(display, 1)["cat"]


def test_grid_of_images():
    y_pred, y_true = [FOUND, FOUND[:0], FOUND[:1]], [TRUE] * 3
    display = draw([IMAGE] * 3, y_pred)
    assert display.axes_.shape == (2, 2)
    assert titles(display) == ["image 0", "image 1", "image 2", ""]
    assert [len(boxes) for boxes in display.boxes_] == [2, 0, 1]
    assert [len(axes.images) for axes in display.axes_.flat] == [1, 1, 1, 0]
    display = draw([IMAGE] * 3, y_pred, y_true=y_true, n_columns=2)
    assert display.axes_.shape == (2, 4)
    assert titles(display)[2:6] == [
        "image 1: true",
        "image 1: predicted",
        "image 2: true",
        "image 2: predicted",
    ]


def test_low_scores_are_not_drawn_but_the_truth_is():
    y_true = make_detections([[10, 20, 30, 50]], ["cat"], [0.1])
    display = draw(IMAGE, FOUND, y_true=y_true, min_score=0.5)
    assert captions(display) == [["cat"], ["cat 0.90"]]
    assert captions(display.plot(min_score=0.95)) == [["cat"], []]


def test_a_class_has_one_color():
    both = draw([IMAGE] * 2, [FOUND, FOUND[:1]])
    assert colors(both, 0)["$dog$"] == colors(both, 1)["$dog$"] != colors(both, 0)["cat"]
    # in another figure, the labels that occur are others
    classes = np.array(["bird", "cat", "$dog$"])
    first, second = (draw(IMAGE, found, classes=classes) for found in (FOUND, FOUND[1:]))
    assert colors(first)["cat"] == colors(second)["cat"] == (*to_rgb("#56b4e9"), 1)
    assert (
        colors(draw(IMAGE, FOUND, classes={0: "cat", 1: "$dog$"}))["$dog$"] == colors(first)["cat"]
    )


def test_eighth_class_differs_from_the_first_by_its_line():
    styles = box_styles(range(21))
    assert len(set(styles.values())) == 21
    assert styles[0].color == styles[7].color


def test_texts_can_be_read_on_their_colors():
    def luminance(color):
        rgb = np.array(to_rgb(color))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    for style in box_styles(range(7)).values():
        dark, light = sorted([luminance(style.color), luminance(style.text_color)])
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2, level AA


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_tags_are_apart_in_each_format(suffix, monkeypatch):
    found = crowd()
    display = draw(np.zeros((480, 640, 3), np.uint8), found)
    assert len(display.texts_[0]) == 30
    drawn = []
    draw_text = mpl.text.Text.draw

    def note(text, renderer):
        draw_text(text, renderer)
        if text.get_bbox_patch() is not None:
            drawn.append(text.get_bbox_patch().get_window_extent(renderer).extents)
            assert_apart_and_inside(drawn, display.axes_[0, 0])

    monkeypatch.setattr(mpl.text.Text, "draw", note)
    display.figure_.savefig(io.BytesIO(), format=suffix)
    assert len(drawn) == 30


def test_the_same_places_each_time():
    first, second = (draw(np.zeros((480, 640, 3), np.uint8), crowd()) for _ in range(2))
    assert np.array_equal(tags(first), tags(second))


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["none", "constrained", "tight"])
def test_tags_in_axes_of_the_user(layout):
    figure, axes = plt.subplots(1, 2, layout=layout, figsize=(13, 5))
    X = [np.zeros((480, 640, 3), np.uint8)] * 2
    display = draw(X, [crowd(20), crowd(20, seed=1)], ax=axes)
    assert display.figure_ is figure
    assert display.axes_[0].tolist() == axes.tolist()
    figure.savefig(io.BytesIO())
    for panel in (0, 1):
        assert_apart_and_inside(tags(display, panel), axes[panel])


def test_one_axes_in_a_subfigure():
    part = plt.figure().subfigures(1, 2)[1]
    ax = part.subplots()
    display = draw(IMAGE, FOUND, ax=ax)
    assert display.axes_.tolist() == [[ax]]
    assert captions(display) == [["cat 0.90", "$dog$ 0.46"]]


def test_axes_for_each_panel():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="`ax` has 1 axes for 2 panels"):
        draw(IMAGE, FOUND, y_true=TRUE, ax=ax)


@pytest.mark.filterwarnings("error")
def test_glyphs_that_the_font_lacks_are_not_warned_about_before_the_figure_is_drawn():
    found = make_detections([[0, 0, 5, 5]], ["猫\ud800"], [0.9])
    assert captions(draw(IMAGE, found)) == [["猫\ufffd 0.90"]]


def test_vectors_stay_vectors():
    figure = draw(IMAGE, FOUND, y_true=TRUE).figure_
    svg, pdf = io.StringIO(), io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "pdf.compression": 0}):
        figure.savefig(svg, format="svg")
        figure.savefig(pdf, format="pdf")
    svg = svg.getvalue()
    assert svg.count("<image") == 2  # the pixels of the two panels, and nothing else
    assert re.findall(r"<text[^>]*>(?:<tspan[^>]*>)?([^<]*)", svg) == [
        "cat",
        "true",
        "$dog$ 0.46",
        "cat 0.90",
        "predicted",
    ]
    assert svg.count("stroke: #e69f00") == 1  # the box of $dog$
    assert svg.count("stroke: #56b4e9") == 2
    assert len(re.findall(rb"/Subtype /Image", pdf.getvalue())) == 2


def test_png_has_the_colors():
    file = io.BytesIO()
    draw(IMAGE, FOUND).figure_.savefig(file, format="png")
    pixels = np.asarray(Image.open(file).convert("RGB")).reshape(-1, 3)
    for color in ("#e69f00", "#56b4e9"):
        assert (pixels == np.round(255 * np.array(to_rgb(color)))).all(axis=1).sum() > 100


def test_large_images_are_reduced_and_boxes_stay_in_their_pixels():
    large = np.zeros((900, 1200, 3), np.uint8)
    axes = draw(large, FOUND, image_size=300).axes_[0, 0]
    assert axes.images[0].get_array().shape == (450, 600, 3)
    assert axes.images[0].get_extent() == [0, 1200, 900, 0]
    assert axes.get_window_extent().size.round().tolist() == [300, 225]
    # small ones are drawn as they are
    assert draw(IMAGE, FOUND).axes_[0, 0].images[0].get_array().shape == IMAGE.shape


def test_the_image_is_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(IMAGE).save(file, "JPEG", exif=exif)
    axes = draw(file.getvalue(), FOUND).axes_[0, 0]
    assert axes.images[0].get_extent() == [0, 60, 80, 0]


ROWS = {
    "image": [2, 0, 2],
    "label": ["cat", "dog", "dog"],
    "score": [0.9, 0.8, 0.7],
    "x0": [0.0] * 3,
    "y0": [0.0] * 3,
    "x1": [5.0, 6.0, 7.0],
    "y1": [5.0] * 3,
}
FRAMES = pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])


@FRAMES
def test_frame_of_positions(frame):
    display = draw([IMAGE] * 3, frame(ROWS), y_true=frame(ROWS))
    assert captions(display)[1::2] == [["dog 0.80"], [], ["cat 0.90", "dog 0.70"]]
    assert captions(display)[4] == ["cat", "dog"]


@FRAMES
def test_frame_of_labels_of_the_index(frame):
    X = pd.Series([IMAGE] * 2, index=["a", "b"])
    display = draw(X, frame(ROWS | {"image": ["b", "a", "b"]}))
    assert titles(display) == ["image a", "image b"]
    assert captions(display) == [["dog 0.80"], ["cat 0.90", "dog 0.70"]]
    with pytest.raises(ValueError, match="contains 'c', which is not a label of the index"):
        draw(X, frame(ROWS | {"image": ["b", "a", "c"]}))
    with pytest.raises(ValueError, match="has a label more than once"):
        draw(pd.concat([X, X]), frame(ROWS | {"image": ["b", "a", "b"]}))


@FRAMES
def test_frame_of_one_image(frame):
    rows = frame({name: cells[:1] for name, cells in ROWS.items()})
    assert captions(draw(IMAGE, rows)) == [["cat 0.90"]]
    with pytest.raises(ValueError, match="select the rows of one image"):
        draw(IMAGE, frame(ROWS))


@FRAMES
def test_frame_without_rows(frame):
    rows = frame({name: cells[:0] for name, cells in ROWS.items()})
    assert captions(draw([IMAGE], rows)) == [[]]


@FRAMES
@pytest.mark.parametrize("unknown", [3, -1])
def test_frame_of_unknown_positions(frame, unknown):
    with pytest.raises(ValueError, match=f"contains {unknown}, which is not a position in X"):
        draw([IMAGE] * 3, frame(ROWS | {"image": [2, 0, unknown]}))


@FRAMES
def test_frame_that_lacks_a_column(frame):
    rows = {name: cells for name, cells in ROWS.items() if name != "score"}
    with pytest.raises(ValueError, match=r"`y_pred` must have the columns .* lacks \['score'\]"):
        draw([IMAGE] * 3, frame(rows))
    display = draw([IMAGE] * 3, frame(ROWS), y_true=frame(rows))
    assert captions(display)[0] == ["dog"]


def test_dicts_as_in_torchvision():
    y_pred = {"boxes": [[10, 20, 30, 50]], "labels": np.array([3]), "scores": [0.9]}
    y_true = {"boxes": np.empty((0, 4)), "labels": []}
    assert captions(draw([IMAGE], [y_pred], y_true=[y_true])) == [[], ["3 0.90"]]
    assert captions(draw(IMAGE, y_pred, y_true=y_true)) == [[], ["3 0.90"]]
    with pytest.raises(ValueError, match=r"`y_pred\[0\]` .*\"scores\".* lacks \['scores'\]"):
        draw([IMAGE], [y_true])


def test_a_row_without_prediction(tmp_path):
    X = [IMAGE, str(tmp_path / "missing.jpg"), IMAGE]
    display = draw(X, [FOUND, None, None], y_true=[TRUE] * 3)
    notes = [[text.get_text() for text in axes.texts] for axes in display.axes_.flat]
    assert notes[2:4] == [["no image", "cat"], ["no image"]]
    assert notes[4:] == [["cat"], ["no prediction"]]
    assert draw(IMAGE, None).axes_[0, 0].texts[0].get_text() == "no prediction"


def test_an_image_that_cannot_be_read():
    with pytest.raises(FileNotFoundError, match=r"Row 0: .*nowhere\.jpg"):
        draw("nowhere.jpg", FOUND)
    with pytest.raises(ImageReadError, match="Row 1: cannot read <4 bytes>"):
        draw([IMAGE, b"text"], [FOUND, FOUND])
    with pytest.raises(ImageReadError, match="Row 1: cannot read <4 bytes>") as raised:
        draw([IMAGE, b"text", IMAGE], [FOUND, FOUND, None])
    assert raised.value.row == 1


@pytest.mark.parametrize(
    ("detections", "message"),
    [
        (np.zeros((2, 4)), "`y_pred` must be the structured array"),
        ([1, 2], "`y_pred` must be the structured array"),
        (make_detections([[0, 0, 1, 1]], ["a"], [np.nan]), "`y_pred` has a score that is NaN"),
        (make_detections([[0, 0, 1, 1]], [None]), "`y_pred` has a label that is missing"),
        ({"boxes": [[5, 0, 1, 1]], "labels": [1], "scores": [1]}, "`y_pred`: Box 0 is .* x0 <= x1"),
    ],
    ids=["array", "list", "score", "label", "box"],
)
def test_what_are_not_detections_is_an_error(detections, message):
    with pytest.raises(ValueError, match=message):
        draw(IMAGE, detections)
    with pytest.raises(ValueError, match=message.replace("y_pred", r"y_pred\[1\]")):
        draw([IMAGE] * 2, [FOUND, detections])


def test_what_does_not_match():
    with pytest.raises(ValueError, match="X has 2 images, but `y_true` has 1 item"):
        draw([IMAGE] * 2, [FOUND] * 2, y_true=[TRUE])
    with pytest.raises(ValueError, match="`y_pred` has the objects of one image"):
        draw([IMAGE] * 2, FOUND)
    with pytest.raises(ValueError, match="'cat' of an object is not in `classes`"):
        draw(IMAGE, FOUND, classes=["$dog$"])
    with pytest.raises(ValueError, match="Some labels in y_true and y_pred are strings"):
        draw(IMAGE, FOUND, y_true=make_detections([[0, 0, 1, 1]], [3]))
    with pytest.raises(ValueError, match="51 images would need 102 panels, but at most 100"):
        draw([IMAGE] * 51, [FOUND] * 51, y_true=[TRUE] * 51)


@pytest.mark.parametrize(
    "wrong", [{"n_columns": 0}, {"n_columns": 1.5}, {"min_score": "high"}, {"min_score": None}]
)
def test_parameters_out_of_range(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"The '{name}' parameter of DetectionDisplay must be"):
        draw(IMAGE, FOUND, **wrong)


def test_kinds_of_one_image(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "image.png")
    path = tmp_path / "image.png"
    lazy = ImageLoader().transform([IMAGE])[0, 0]
    for image in (path, str(path), path.read_bytes(), Image.open(path), lazy, IMAGE[:, :, 0]):
        assert titles(draw(image, FOUND)) == [""]
    for column in ([path], np.array([str(path)]), np.stack([IMAGE]), pd.DataFrame({"x": [path]})):
        assert titles(draw(column, [FOUND])) == ["image 0"]


def test_missing_matplotlib(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn-dl\[demo\]"'):
        draw(IMAGE, FOUND)
