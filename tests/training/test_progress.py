"""Progress bars: of fits, of what follows them, and of scikit-learn's callback."""

import copy
import re
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.callback import ProgressBar

from sklearn_dl import (
    DetectionScorer,
    ImageClassifier,
    ImageLoader,
    ObjectDetector,
    PixelExtractor,
    SentenceSimilarityRegressor,
    TextClassifier,
    TextEncoder,
)
from sklearn_dl.training import _training_loop
from sklearn_dl.utils._progress import per_pair, print_line, progress_bar
from tests.text.three_classes import PAIRS, X, Y
from tests.vision.backbones import SIZE, versioned_module
from tests.vision.detection.detectors import ANCHORS, color_detector
from tests.vision.detection.drawn_squares import QUICK, drawn_images, small_maps

IMAGES = list(np.random.default_rng(0).integers(0, 256, (24, SIZE, SIZE, 3), dtype=np.uint8))


@pytest.fixture
def clf(encoder):
    return TextClassifier(
        encoder, max_epochs=2, max_length=32, precision="float32", random_state=0, verbose=1
    )


@pytest.fixture
def bars(capsys):
    """A function that returns the last state of each bar that was shown: name -> "done/total"."""

    state = re.compile(r"([\w]+(?:: [\w ]+)?): +\d+%\|[^|]*\| (\d+/\d+) ")
    return lambda: dict(state.findall(capsys.readouterr().err))


def test_a_bar_has_the_rows_per_second_and_is_full_at_the_end(capsys):
    with progress_bar(1, 10, "Estimator: work") as done:
        done(4)
        done(3)
    err = capsys.readouterr().err
    assert "Estimator: work: 100%" in err
    assert "10/10" in err
    assert "row/s" in err


def test_a_bar_that_is_not_filled_and_one_that_fails(bars):
    with progress_bar(1, 10, "Stopped", fill=False) as done:
        done(4)

    def fail():
        with progress_bar(1, 10, "Failed") as done:
            done(5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert bars() == {"Stopped": "4/10", "Failed": "5/10"}


def test_a_bar_never_exceeds_the_whole(bars):
    with progress_bar(1, 10, "Twice") as done:
        done(8)
        done(8)
    assert bars() == {"Twice": "10/10"}


def test_without_verbose_there_is_no_bar(capsys):
    with progress_bar(0, 10, "Silent") as done:
        assert done is None
    assert capsys.readouterr() == ("", "")


def test_without_tqdm(monkeypatch):
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    with progress_bar(0, 10, "Silent"):
        print_line("a line")
    with (
        pytest.raises(ImportError, match=r'verbose=1 needs tqdm: pip install "sklearn-dl\[text\]"'),
        progress_bar(1, 10, "Bar", "text"),
    ):
        pass


def test_pairs_of_texts():
    told = []
    done = per_pair(told.append)
    for n_texts in (3, 2, 1, 4):
        done(n_texts)
    assert told == [1, 1, 1, 2]
    assert per_pair(None) is None


def test_a_fit_and_what_follows(clf, bars):
    clf.fit(X, Y)
    assert bars() == {"TextClassifier: features": "24/24", "TextClassifier: training": "48/48"}
    clf.predict(X)
    clf.transform(X)
    assert bars() == {
        "TextClassifier: predictions": "24/24",
        "TextClassifier: embeddings": "24/24",
    }
    clf.partial_fit(X, Y)
    assert bars() == {"TextClassifier: training": "24/24"}


def test_validation_rows_have_a_bar_and_a_scorer_has_none(clf, bars):
    clf.set_params(early_stopping=True, validation_fraction=6, scoring="neg_log_loss").fit(X, Y)
    assert bars() == {
        "TextClassifier: features": "18/18",
        "TextClassifier: training": "36/36",
        "TextClassifier: validation": "6/6",
    }


def test_training_that_stops_early_leaves_its_bar(clf, bars):
    clf.set_params(early_stopping=True, validation_fraction=6, n_iter_no_change=1, tol=10.0)
    clf.set_params(max_epochs=9).fit(X, Y)
    assert bars()["TextClassifier: training"] == "36/162"


@pytest.mark.parametrize("kind", [TextClassifier, TextEncoder, SentenceSimilarityRegressor])
def test_silent_by_default(kind, encoder, capsys):
    estimator = kind(encoder, max_length=32, precision="float32")
    rows = PAIRS if kind is SentenceSimilarityRegressor else X
    y = np.arange(24) % 3
    estimator.fit(rows, y)
    getattr(estimator, "predict", getattr(estimator, "transform", None))(rows)
    assert capsys.readouterr() == ("", "")


def test_a_frozen_fit(clf, bars):
    clf.set_params(trainable_layers=0).fit(X, Y)
    assert bars() == {"TextClassifier: features": "24/24"}
    clf.fit(PAIRS, Y).predict(PAIRS)
    assert bars() == {
        "TextClassifier: features": "24/24",
        "TextClassifier: predictions": "24/24",
    }


def test_a_head_of_several_labels(clf, bars):
    labels = np.equal.outer(Y, np.unique(Y))
    clf.set_params(trainable_layers=0).fit(X, labels)
    assert bars() == {"TextClassifier: features": "24/24", "TextClassifier: head": "72/72"}


def test_texts_that_are_known_or_equal(clf, bars, tmp_path):
    rows = np.concatenate([X, X])
    y = np.concatenate([Y, Y])
    clf.set_params(trainable_layers=0, memory=tmp_path).fit(rows, y)
    assert bars() == {"TextClassifier: features": "48/48"}
    clf.fit(rows, y)
    assert bars() == {"TextClassifier: features": "48/48"}


def test_cosines(encoder, bars):
    scaled = SentenceSimilarityRegressor(encoder, max_epochs=0, max_length=32, verbose=1)
    scaled.fit(PAIRS, np.arange(24.0))
    scaled.predict(PAIRS)
    scaled.embed(X)
    name = "SentenceSimilarityRegressor"
    assert bars() == {
        f"{name}: features": "24/24",
        f"{name}: predictions": "24/24",
        f"{name}: embeddings": "24/24",
    }


def test_an_encoder(encoder, bars):
    TextEncoder(encoder, max_length=32, verbose=1).fit_transform(X)
    assert bars() == {"TextEncoder: embeddings": "24/24"}


@pytest.mark.parametrize("layers", [0, "all"])
def test_images(bars, layers):
    clf = ImageClassifier(
        versioned_module, image_size=SIZE, trainable_layers=layers, max_epochs=1, verbose=1
    )
    clf.fit(IMAGES, Y)
    steps = {"ImageClassifier: features": "24/24"}
    if layers:
        steps["ImageClassifier: training"] = "24/24"
    assert bars() == steps
    clf.predict(IMAGES)
    clf.transform(IMAGES[:5])
    assert bars() == {
        "ImageClassifier: predictions": "24/24",
        "ImageClassifier: features": "5/5",
    }


def test_random_views(bars):
    clf = ImageClassifier(versioned_module, image_size=SIZE, augment=("flip",), verbose=1)
    clf.fit(IMAGES, Y)
    assert bars() == {
        "ImageClassifier: features": "24/24",
        "ImageClassifier: features of views": "72/72",
    }


def test_detections_and_pixels(bars):
    image = Image.new("RGB", (32, 32), "red")
    detector = DetectionScorer(color_detector(), format="yolov2", anchors=ANCHORS, verbose=1)
    detector.predict([image] * 6)
    PixelExtractor(layout="flat", verbose=1).transform(ImageLoader().transform([image] * 9))
    assert bars() == {"DetectionScorer": "6/6", "PixelExtractor": "9/9"}


@pytest.mark.slow
@pytest.mark.parametrize("layers", [0, "all"])
def test_a_detector_that_learns(bars, layers, tmp_path):
    X, y = drawn_images(6)
    detector = ObjectDetector(small_maps, trainable_layers=layers, verbose=1, **QUICK)
    detector.fit(X, y)
    steps = {"ObjectDetector: features": "6/6", "ObjectDetector: training": "12/12"}
    views = {} if layers else {"ObjectDetector: features of views": "18/18"}
    assert bars() == steps | views
    detector.predict(X)
    assert bars() == {"ObjectDetector: predictions": "6/6"}
    held_out = {"X_val": X[:5], "y_val": y[:5]}
    detector.set_params(early_stopping=True, memory=tmp_path).fit(X, y, **held_out)
    shown = steps | views | {"ObjectDetector: validation": "5/5"}
    if layers == 0:
        shown["ObjectDetector: features"] = "5/5"  # the second bar of this name, of X_val
    assert bars() == shown
    detector.fit(X, y, **held_out)  # the features are known
    assert bars() == shown


def test_rows_that_cannot_be_read_fill_the_bar(encoder, bars):
    rows = X.astype(object)
    rows[3] = None
    with pytest.warns(match="1 of 24"):
        TextEncoder(encoder, max_length=32, on_error="nan", verbose=1).fit_transform(rows)
    assert bars() == {"TextEncoder: embeddings": "24/24"}


def test_a_resumed_fit_begins_where_it_was(clf, bars, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    clf.set_params(batch_size=4, checkpoint_dir=tmp_path)
    step, n = _training_loop._Run.step, iter(range(100))

    def killed(run, *args):
        if next(n) == 8:
            raise Killed
        loss = step(run, *args)
        run.saved = -1e9  # save after each batch
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(_training_loop._Run, "step", killed)
        with pytest.raises(Killed):
            clf.fit(X, Y)
    assert bars()["TextClassifier: training"] == "32/48"
    clf.fit(X, Y)
    assert bars()["TextClassifier: training"] == "48/48"


class Counts:
    """Counts the tasks that begin and end, by their names."""

    def __init__(self):
        self.begun, self.ended, self.subtasks = [], [], {}

    def setup(self, estimator, context):
        pass

    teardown = setup

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)
        self.subtasks[context.task_name] = context.max_subtasks

    def on_fit_task_end(self, estimator, context):
        self.ended.append(context.task_name)


def test_a_fit_of_one_epoch_has_a_task_for_each_batch(clf):
    counts = Counts()
    clf.set_params(batch_size=4, max_epochs=1, verbose=0).set_callbacks(counts).fit(X, Y)
    assert counts.begun == ["fit", "epoch", *["batch"] * 6]
    assert counts.ended == [*["batch"] * 6, "epoch", "fit"]
    assert counts.subtasks == {"fit": 1, "epoch": 6, "batch": 0}
    counts = Counts()
    clf.set_params(max_epochs=2).set_callbacks(counts).fit(X, Y)
    assert counts.begun == ["fit", "epoch", "epoch"]


def test_the_bar_of_scikit_learn_shows_the_epoch(clf, capsys):
    pytest.importorskip("rich")
    clf.set_params(batch_size=4, max_epochs=1, verbose=0).set_callbacks(ProgressBar()).fit(X, Y)
    assert "TextClassifier - epoch #0" in capsys.readouterr().out


def test_a_line_after_each_epoch_is_on_standard_output(clf, capsys):
    clf.fit(X, Y)
    out = capsys.readouterr().out
    assert re.findall(r"TextClassifier: epoch (\d), train_loss", out) == ["1", "2"]
    assert clone(clf).verbose == copy.copy(clf).verbose == 1
