import matplotlib
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_dl.inspection import TrainingCurveDisplay

matplotlib.use("Agg")

TRAINED = {"epoch": [1, 2, 3], "train_loss": [0.9, 0.5, 0.4], "seconds": [2.0, 2.0, 2.0]}
HELD_OUT = {"validation_loss": [0.8, 0.6, 0.7], "validation_score": [0.6, 0.8, 0.75]}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    matplotlib.pyplot.close("all")


class Trained(BaseEstimator):
    """Has a history, but does not train."""

    def __init__(self, held_out=True, nothing=False):
        self.held_out = held_out
        self.nothing = nothing

    def fit(self, X, y):
        self.history_ = {} if self.nothing else {**TRAINED, **(HELD_OUT if self.held_out else {})}
        self.best_epoch_ = 2 if self.held_out else 3
        return self

    def predict(self, X):
        return [0] * len(X)


class TrainedClassifier(ClassifierMixin, Trained):
    pass


class TrainedRegressor(RegressorMixin, Trained):
    pass


X, Y = [[0], [1], [2], [3]], [0, 1, 0, 1]


def drawn(display):
    return {name: list(line.get_ydata()) for name, line in display.lines_.items()}


def test_losses_on_one_axis_and_the_score_on_its_twin():
    display = TrainingCurveDisplay.from_estimator(Trained().fit(X, Y))
    assert drawn(display) == {
        "train_loss": TRAINED["train_loss"],
        **HELD_OUT,
        "best_epoch": [0, 1],
    }
    assert display.lines_["train_loss"].get_xdata().tolist() == [1, 2, 3]
    assert list(display.lines_["best_epoch"].get_xdata()) == [2, 2]
    assert display.figure_.axes == [display.ax_, display.score_ax_]
    for name, line in display.lines_.items():
        expected = display.score_ax_ if name == "validation_score" else display.ax_
        assert line.axes is expected
    assert display.ax_.get_xlabel() == "epoch"
    assert display.ax_.get_ylabel() == "loss"
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["training loss", "validation loss", "validation score", "best epoch"]


def test_without_held_out_rows_there_is_one_line():
    display = TrainingCurveDisplay.from_estimator(Trained(held_out=False).fit(X, Y))
    assert drawn(display) == {"train_loss": TRAINED["train_loss"]}
    assert display.score_ax_ is None
    assert display.figure_.axes == [display.ax_]


def test_epochs_are_whole_numbers():
    display = TrainingCurveDisplay.from_estimator(Trained(held_out=False).fit(X, Y))
    display.figure_.canvas.draw()
    assert all(tick == round(tick) for tick in display.ax_.get_xticks())


@pytest.mark.parametrize(
    ("estimator", "given", "expected"),
    [
        (TrainedClassifier(), None, "validation accuracy"),
        (TrainedRegressor(), None, "validation R²"),
        (TrainedRegressor(), "explained variance", "validation explained variance"),
    ],
    ids=["classifier", "regressor", "named"],
)
def test_the_score_has_its_name(estimator, given, expected):
    display = TrainingCurveDisplay.from_estimator(estimator.fit(X, Y), score_name=given)
    assert display.score_ax_.get_ylabel() == expected
    assert display.plot(score_name="F1").score_ax_.get_ylabel() == "validation F1"


def test_given_axes_are_drawn_on():
    figure, (left, right) = matplotlib.pyplot.subplots(1, 2)
    display = TrainingCurveDisplay.from_estimator(Trained().fit(X, Y), ax=right)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert not left.lines


def test_pipeline_and_search_lead_to_the_trained_step():
    pipe = make_pipeline(FunctionTransformer(), TrainedClassifier())
    assert len(TrainingCurveDisplay.from_estimator(pipe.fit(X, Y)).lines_) == 4
    search = GridSearchCV(pipe, {"trainedclassifier__held_out": [False]}, cv=2)
    assert len(TrainingCurveDisplay.from_estimator(search.fit(X, Y)).lines_) == 1


def test_nothing_to_draw_is_said():
    with pytest.raises(NotFittedError, match="Trained instance is not fitted"):
        TrainingCurveDisplay.from_estimator(Trained())
    with pytest.raises(NotFittedError, match="Pipeline instance is not fitted"):
        TrainingCurveDisplay.from_estimator(make_pipeline(FunctionTransformer(), Trained()))
    with pytest.raises(TypeError, match="LogisticRegression has no history_"):
        TrainingCurveDisplay.from_estimator(LogisticRegression().fit(X, Y))
    with pytest.raises(ValueError, match=r"this Trained trained nothing .*trainable_layers=0"):
        TrainingCurveDisplay.from_estimator(Trained(nothing=True).fit(X, Y))
    assert not matplotlib.pyplot.get_fignums()


def test_missing_matplotlib(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn-dl\[demo\]"'):
        TrainingCurveDisplay.from_estimator(Trained().fit(X, Y))
