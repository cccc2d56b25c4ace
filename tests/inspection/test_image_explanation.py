"""ImageExplanationDisplay: effects of patches, on estimators whose answer is known."""

import sys
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import ExifTags, Image, ImageOps
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.images import ImageReadError
from sklearn_dl.inspection import ImageExplanationDisplay
from sklearn_dl.inspection._image_rows import ImageRows, as_gray

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


class UpperLeftIsRed(ClassifierMixin, BaseEstimator):
    """P("red") is the part of the upper left quarter that is red; notes the images of each call."""

    def fit(self, X, y=None):
        self.classes_ = np.array(["other", "red"])
        self.calls_ = []
        return self

    def predict_proba(self, X):
        self.calls_.append(list(X))
        arrays = [np.asarray(image) for image in X]
        quarters = [a[: len(a) // 2, : a.shape[1] // 2, 0] for a in arrays]
        red = np.array([quarter.mean() / 255 for quarter in quarters])
        return np.column_stack([1 - red, red])


def image(height=16, width=24):
    """Red in the left half of its upper left quarter, black elsewhere."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 4, 0] = 255
    return pixels


def explained(estimator, X, **settings):
    settings = {"class_of_interest": "red", "n_patches": (2, 4), "fill_color": 0} | settings
    return ImageExplanationDisplay.from_estimator(estimator, X, **settings)


EFFECTS = [[0.5, 0, 0, 0], [0, 0, 0, 0]]


def test_effects_are_where_the_answer_is():
    display = explained(UpperLeftIsRed().fit(None), [image()])
    np.testing.assert_allclose(display.effects[0], EFFECTS)
    assert display.scores == pytest.approx([0.5])
    white = explained(UpperLeftIsRed().fit(None), [image()], fill_color=255)
    np.testing.assert_allclose(white.effects[0], [[0, -0.5, 0, 0], [0, 0, 0, 0]])
    red = explained(UpperLeftIsRed().fit(None), [image()], fill_color=(255, 0, 0))
    np.testing.assert_allclose(red.effects[0], white.effects[0])
    other = explained(UpperLeftIsRed().fit(None), [image()], class_of_interest="other")
    np.testing.assert_allclose(other.effects[0], np.negative(EFFECTS))


def test_the_mean_color_is_the_default():
    clf = UpperLeftIsRed().fit(None)
    ImageExplanationDisplay.from_estimator(clf, [image()], n_patches=1)
    (covered,) = clf.calls_[1]
    assert np.unique(covered.reshape(-1, 3), axis=0).tolist() == [[32, 0, 0]]


@pytest.mark.parametrize("kind", ["pil", "array", "lazy"])
def test_pixels_stay_pixels(tmp_path, kind):
    Image.fromarray(image()).save(tmp_path / "image.png")
    cell = {
        "pil": Image.fromarray(image()),
        "array": image(),
        "lazy": ImageLoader().transform([tmp_path / "image.png"])[0, 0],
    }[kind]
    clf = UpperLeftIsRed().fit(None)
    display = explained(clf, [cell, cell])
    np.testing.assert_allclose(display.effects[1], EFFECTS)
    given = {type(x) for call in clf.calls_ for x in call}
    assert given == {type(cell)}


@pytest.mark.parametrize("as_cell", [str, Path, Path.read_bytes])
def test_steps_of_this_package_get_images_without_files(tmp_path, as_cell):
    path = tmp_path / "image.png"
    Image.fromarray(image()).save(path)
    column = FunctionTransformer(lambda X: X[:, 0])
    last = UpperLeftIsRed().fit(None)
    clf = make_pipeline(make_pipeline(ImageLoader(), column), last)
    display = explained(clf, [as_cell(path)])
    np.testing.assert_allclose(display.effects[0], EFFECTS)
    copies, given, changed = last.calls_
    assert {type(x.source) for x in [*copies, *changed]} == {Image.Image}
    assert len(given) == 1


def test_an_estimator_that_reads_files_by_itself(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(image()).save(path)
    seen = []

    def read(paths):
        seen.extend(map(str, paths))
        return np.stack([np.asarray(Image.open(p)) for p in paths])

    def decode(contents):
        return np.stack([np.asarray(Image.open(BytesIO(content))) for content in contents])

    for step, cell in [(read, path), (read, str(path)), (decode, path.read_bytes())]:
        clf = make_pipeline(FunctionTransformer(step), UpperLeftIsRed().fit(None))
        display = explained(clf, [cell, cell], n_patches=(2, 20))
        np.testing.assert_allclose(display.effects[1].sum(), 0.5)
    copies = [p for p in seen if p != str(path)]
    assert len(set(copies)) == len(copies) > 100
    assert not any(Path(p).exists() for p in copies)


class TopIsBright(ClassifierMixin, BaseEstimator):
    """P("bright") is the mean of the upper half; `read` gives the array of an image."""

    def __init__(self, read=np.asarray):
        self.read = read

    def fit(self, X, y=None):
        self.classes_ = np.array(["bright", "dark"])
        return self

    def predict_proba(self, X):
        arrays = [self.read(x) for x in X]
        bright = np.array([a[: len(a) // 2].mean() / np.iinfo(a.dtype).max for a in arrays])
        return np.column_stack([bright, 1 - bright])


def opened(path):
    with Image.open(path) as file:
        return np.asarray(file)


def turned_upright(path):
    with Image.open(path) as file:
        return np.asarray(ImageOps.exif_transpose(file))


@pytest.fixture
def turned(tmp_path):
    """The path of an image whose left half is white, but which is turned to have it above."""
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:, :4] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    return tmp_path / "turned.png"


@pytest.mark.parametrize("as_cell", [str, Path, Path.read_bytes])
@pytest.mark.parametrize(("read", "effects"), [(opened, [0.5, 0]), (turned_upright, [0.5, 0.5])])
def test_the_estimator_decides_about_the_orientation(turned, as_cell, read, effects):
    # the patches are those of the file, whose left half is white
    clf = TopIsBright(lambda cell: read(BytesIO(cell) if isinstance(cell, bytes) else cell))
    display = explained(
        clf.fit(None), [as_cell(turned)], class_of_interest="bright", n_patches=2, fill_color=0
    )
    assert display.effects[0][:, 0].tolist() == effects
    assert not display.effects[0][:, 1].any()


def in_pipeline(loader):
    return make_pipeline(loader, FunctionTransformer(np.ravel), TopIsBright().fit(None))


@pytest.mark.parametrize("is_applied", [True, False])
def test_the_loader_of_the_pipeline_reads_the_images(turned, is_applied):
    loader = ImageLoader(root=turned.parent, exif_transpose=is_applied, colors="L")
    settings = {"class_of_interest": "bright", "n_patches": 2, "fill_color": 0}
    display = explained(in_pipeline(loader), ["turned.png"], **settings)
    upper = [0.5, 0.5] if is_applied else [0.5, 0]
    np.testing.assert_allclose(display.effects[0], [upper, [0, 0]])
    assert display.scores == pytest.approx(1.0 if is_applied else 0.5)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize(
    "columns",
    [
        "image",
        ["image"],
        1,
        -1,
        [1],
        slice(1, 2),
        [False, True],
        np.array([1]),
        pd.Index(["image"]),
    ],
    ids=repr,
)
def test_the_loader_of_a_column_reads_the_images(turned, columns, frame):
    clf = make_pipeline(
        make_column_transformer(
            ("drop", [0]), (ImageLoader(root=turned.parent, colors="L"), columns)
        ),
        FunctionTransformer(np.ravel),
        TopIsBright(),
    )
    X = frame({"n": [1.0], "image": ["turned.png"]})
    clf.fit(X, ["bright"])
    settings = {"class_of_interest": "bright", "n_patches": 2, "fill_color": 0}
    display = explained(clf, X, column="image", **settings)
    np.testing.assert_allclose(display.effects[0], [[0.5, 0.5], [0, 0]])


def test_the_loader_is_found_in_unions_votes_and_searches(turned):
    loader = ImageLoader(root=turned.parent, colors="L")
    step = make_pipeline(loader, PixelExtractor(layout="flat"))
    pixels = make_pipeline("passthrough", make_union("drop", step))
    clf = make_pipeline(pixels, DecisionTreeClassifier())
    names, labels = ["turned.png"] * 4, ["red", "other"] * 2
    for estimator in (
        clf,
        VotingClassifier([("clf", clf)], voting="soft"),
        GridSearchCV(clf, {"decisiontreeclassifier__max_depth": [1]}, cv=2),
        CalibratedClassifierCV(clf, cv=2),
    ):
        display = explained(estimator.fit(names, labels), names[:1])
        assert display.scores == pytest.approx(0.5, abs=0.01)


def test_a_tiff_file_is_turned_once(turned):
    with Image.open(turned) as file:
        file.save(turned.with_suffix(".tif"), exif=file.getexif())
    display = explained(
        TopIsBright(turned_upright).fit(None),
        [turned.with_suffix(".tif")],
        class_of_interest="bright",
        n_patches=2,
        fill_color=0,
    )
    np.testing.assert_allclose(display.effects[0], [[0.5, 0.5], [0, 0]])


@pytest.mark.parametrize("settings", [{"colors": "L"}, {"exif_transpose": False}])
def test_lazy_images_keep_the_settings_of_their_loader(turned, settings):
    (cell,) = ImageLoader(**settings).transform([turned])[:, 0]
    clf = make_pipeline(ImageResizer(8, 8), FunctionTransformer(np.ravel), TopIsBright().fit(None))
    display = explained(clf, [cell], class_of_interest="bright", n_patches=2, fill_color=0)
    assert display.scores == pytest.approx(1.0 if "colors" in settings else 0.5)
    assert display.effects[0][0, 1] == pytest.approx(0.5 if "colors" in settings else 0)


@pytest.mark.parametrize("kind", ["array", "chunked array", "table", "batch"])
@pytest.mark.parametrize("as_cell", [str, Path.read_bytes])
def test_containers_of_pyarrow(turned, kind, as_cell):
    array = pa.array([as_cell(turned)])
    X = {
        "array": array,
        "chunked array": pa.chunked_array([array]),
        "table": pa.table({"image": array}),
        "batch": pa.RecordBatch.from_pydict({"image": array}),
    }[kind]
    settings = {"class_of_interest": "bright", "n_patches": 2, "fill_color": 0}
    display = explained(in_pipeline(ImageLoader(colors="L")), X, **settings)
    np.testing.assert_allclose(display.effects[0], [[0.5, 0.5], [0, 0]])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "RGB", "RGBA"])
def test_files_keep_their_mode(tmp_path, mode):
    Image.new("L", (8, 8), 255).convert(mode).save(tmp_path / "image.png")
    modes = set()

    def read(path):
        with Image.open(path) as file:
            modes.add(file.mode)
            return np.asarray(file).astype(np.uint8)

    explained(TopIsBright(read).fit(None), [tmp_path / "image.png"], class_of_interest="dark")
    assert modes == {mode}


def test_a_copy_with_another_score_is_said(tmp_path):
    Image.new("L", (8, 8), 255).save(tmp_path / "image.png", comment="bright")

    def read(path):
        return opened(path) // (1 if Path(path).name == "image.png" else 5)

    with pytest.warns(UserWarning, match=r"Row 0: the score of this image is 1, .* is 0\.2, so"):
        display = explained(
            TopIsBright(read).fit(None), [tmp_path / "image.png"], class_of_interest="bright"
        )
    assert display.scores == [1]


@pytest.mark.parametrize("dtype", [None, "Float64", "object"])
def test_frames_of_pixels_stay_frames(dtype):
    names = [f"pixel{i}" for i in range(16)]
    X = dict(zip(names, np.eye(16), strict=True))
    X = pd.DataFrame(X, dtype=dtype) if dtype else pl.DataFrame(X)
    steps = make_column_transformer(("passthrough", names[:1]), (StandardScaler(), names[1:]))
    clf = make_pipeline(steps, LogisticRegression()).fit(X, ["other"] + ["red"] * 15)
    display = explained(clf, X[:1], image_shape=(4, 4), n_patches=4)
    assert abs(display.effects[0]).argmax() == 0


def test_missing_pixels():
    X = np.array([[0.0, 1.0, np.nan, 4.0], [4.0, 0.0, 2.0, np.nan]] * 10)
    clf = HistGradientBoostingClassifier(min_samples_leaf=1).fit(X, ["other", "red"] * 10)
    display = ImageExplanationDisplay.from_estimator(clf, X[:1], image_shape=(2, 2))
    assert np.isfinite(display.effects[0]).all()
    assert display.images[0].tolist() == [[0, 64], [0, 255]]


def test_images_of_different_sizes_and_batches():
    clf = UpperLeftIsRed().fit(None)
    display = explained(clf, [image(), image(100, 80), image(3, 4)], n_patches=(4, 4))
    assert [effects.shape for effects in display.effects] == [(4, 4), (4, 4), (3, 4)]
    assert display.effects[1].argmax() == 0
    clf = UpperLeftIsRed().fit(None)
    explained(clf, [image(40, 40)], n_patches=20)
    assert [len(call) for call in clf.calls_] == [1, 256, 144]


def test_images_are_read_one_at_a_time(monkeypatch):
    events = []

    class Notes(UpperLeftIsRed):
        def predict_proba(self, X):
            events.append("predict")
            return super().predict_proba(X)

    read = ImageRows.read
    monkeypatch.setattr(ImageRows, "read", lambda *args: events.append("read") or read(*args))
    display = explained(Notes().fit(None), [image(700, 700)] * 2)
    assert events == ["read", "predict", "predict"] * 2
    assert display.images[0].shape == (234, 234)


@pytest.mark.slow
def test_large_images_come_in_smaller_batches():
    clf = UpperLeftIsRed().fit(None)
    explained(clf, [np.zeros((6000, 6000, 3), np.uint8)], n_patches=2)
    assert [len(call) for call in clf.calls_] == [1, 2, 2]


def test_an_array_of_images_stays_an_array_of_its_dtype():
    clf = UpperLeftIsRed().fit(None)
    X = np.stack([image(), image()]).astype(np.float32)
    display = explained(clf, X)
    np.testing.assert_allclose(display.effects[1], EFFECTS)
    assert {x.dtype for call in clf.calls_ for x in call} == {np.dtype("float32")}


def test_rows_of_pixels():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    clf = LogisticRegression(C=0.1).fit(X[:200], y[:200])
    display = ImageExplanationDisplay.from_estimator(
        clf, X[:3], image_shape=(8, 8), n_patches=8, fill_color=0, class_of_interest=2
    )
    for row in range(3):
        image = X[row].reshape(8, 8)
        changed = image.copy()
        changed[4, 3] = 0
        expected = clf.predict_proba([X[row], changed.ravel()])[:, 2]
        assert display.effects[row][4, 3] == pytest.approx(expected[0] - expected[1], abs=1e-12)
    for shape in (64, (64,)):
        with pytest.raises(ValueError, match=r"must be \(H, W\) or \(H, W, C\)"):
            ImageExplanationDisplay.from_estimator(clf, X, image_shape=shape)
    with pytest.raises(ValueError, match=r"image_shape=\(8, 9\) needs an X of shape .* 72\)"):
        ImageExplanationDisplay.from_estimator(clf, X, image_shape=(8, 9))


def pixels_and(*more):
    pixels = make_pipeline(ImageLoader(), ImageResizer(24, 16), PixelExtractor(layout="flat"))
    return make_pipeline(make_column_transformer((pixels, ["image"]), *more), LogisticRegression())


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_column_of_a_table_in_a_pipeline(tmp_path, frame):
    rng = np.random.default_rng(0)
    paths, labels = [], []
    for i in range(20):
        pixels = rng.integers(0, 50, (16, 24, 3), dtype=np.uint8)
        if i % 2:
            pixels[:8, :6, 0] = 255
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(pixels).save(paths[-1])
        labels.append("red" if i % 2 else "other")
    X = frame({"n": np.zeros(20), "image": paths})
    clf = pixels_and(("passthrough", ["n"])).fit(X, labels)
    display = explained(clf, X[1:2], column="image", n_patches=(2, 4))
    assert display.effects[0].argmax() == 0
    assert display.effects[0][0, 0] > 5 * abs(display.effects[0].flat[1:]).max()


def test_plot():
    display = explained(UpperLeftIsRed().fit(None), [image()] * 3)
    display.plot(n_columns=2)
    assert display.axes_.shape == (2, 2)
    titles = [axes.get_title() for axes in display.axes_.flat]
    assert titles == ["red 0.50\nlargest effect +0.5"] * 3 + [""]
    (mesh,) = display.axes_[0, 0].collections
    colors = mesh.get_array()
    assert colors[0, 0].tolist() == [*mpl.colors.to_rgb("#ff7f0e"), 0.6]
    assert not colors.reshape(8, 4)[1:, 3].any()
    assert display.axes_[0, 0].images[0].get_array().shape == (16, 24)
    empty = explained(UpperLeftIsRed().fit(None), [np.zeros((4, 4, 3), np.uint8)])
    (mesh,) = empty.axes_[0, 0].collections
    assert not mesh.get_array()[..., 3].any()


def test_the_gray_image_is_small():
    assert as_gray(np.arange(1000 * 700).reshape(1000, 700)).shape == (250, 175)
    assert as_gray(np.full((4, 4, 3), 7.0)).tolist() == [[0.0] * 4] * 4


def test_bad_input(tmp_path):
    clf = UpperLeftIsRed().fit(None)
    with pytest.raises(ImageReadError, match=r"Row 1: .*missing\.jpg"):
        explained(clf, [image(), tmp_path / "missing.jpg"])
    with pytest.raises(ImageReadError, match="Row 1: cannot read <4 bytes>"):
        explained(clf, [image(), b"text"])
    with pytest.raises(ValueError, match=r"n_patches=0 must be one or two integers from 1 on"):
        explained(clf, [image()], n_patches=0)
    with pytest.raises(ValueError, match=r'fill_color="?\'?median.* must be "mean" or a color'):
        explained(clf, [image()], fill_color="median")
    with pytest.raises(ValueError, match=r'fill_color=None must be "mean" or a color'):
        explained(clf, [image()], fill_color=None)
    for value in (300, -1, 0.5):
        with pytest.raises(ValueError, match="is not a value of images of dtype uint8"):
            explained(clf, [image()], fill_color=value)
    for value in (2.5, (2.5, 2), (1, 2, 3)):
        with pytest.raises(ValueError, match="must be one or two integers from 1 on"):
            explained(clf, [image()], n_patches=value)
    with pytest.raises(ValueError, match=r"one has \(3, 64, 64\). If the channels are the first"):
        explained(clf, np.zeros((1, 3, 64, 64), np.float32))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        explained(clf, [])
    with pytest.raises(ValueError, match=r"fill_color=\(1, 2\) needs one number per channel"):
        explained(clf, [image()], fill_color=(1, 2))
    with pytest.raises(ValueError, match="class_of_interest='blue' is not one of"):
        explained(clf, [image()], class_of_interest="blue")


def test_missing_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn-dl\[demo\]"'):
        explained(UpperLeftIsRed().fit(None), [image()])
