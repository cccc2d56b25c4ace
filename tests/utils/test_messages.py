"""No message holds the bytes of a model, or is longer than 2,000 characters; errors of rows."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest

from sklearn_dl import (
    ImageClassifier,
    ImageLoader,
    OnnxScorer,
    ScoreClassifier,
    TensorFlowScorer,
    TextClassifier,
    TextEncoder,
)
from sklearn_dl.images import ImageReadError
from sklearn_dl.utils._messages import MAX_MESSAGE, NotFiniteError, RowError, brief, short_messages
from sklearn_dl.vision import DetectionScorer
from tests.scoring.onnx_graphs import model, negate, node

MODEL = b"SECRET" * 1000


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_brief(kind):
    assert brief(kind(MODEL)) == "<6 kB sha256:5af3>"
    assert brief([kind(MODEL), 1]) == "[<6 kB sha256:5af3>, 1]"
    assert brief({"a": {"b": kind(MODEL)}}) == "{'a': {'b': <6 kB sha256:5af3>}}"


def test_brief_of_what_is_long():
    assert brief("net.onnx") == "'net.onnx'"
    assert len(brief("x" * 10**6)) <= 1000
    assert len(brief(["x" * 900] * 100)) <= 1000
    assert len(brief(np.ones(10**5))) <= 1000


def test_short_messages():
    with pytest.raises(KeyError) as caught, short_messages():
        raise KeyError("short")
    assert caught.value.args == ("short",)
    with pytest.raises(ValueError, match=r"^first") as caught, short_messages():
        raise ValueError("first " + "x" * 10**6 + " last") from TypeError("y" * 5000)
    assert len(str(caught.value)) == MAX_MESSAGE
    assert str(caught.value).endswith("x last")
    assert len(str(caught.value.__cause__)) == MAX_MESSAGE


def test_the_short_message_of_a_row():
    with pytest.raises(RowError, match=r"^Row 12: first") as caught, short_messages():
        raise RowError("first " + "x" * 5000 + " last", 12, "a.png")
    for error in (caught.value, copy.copy(caught.value)):
        assert len(str(error)) == MAX_MESSAGE
        assert str(error) == f"Row 12: {error.message}"
        assert error.message.endswith("x last")
        assert (error.row, error.source) == (12, "a.png")


def raised_by_a_worker(error):
    def fail():
        raise error

    with pytest.raises(RowError) as caught:
        joblib.Parallel(n_jobs=2)([joblib.delayed(fail)()])
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize("kind", [RowError, ImageReadError, NotFiniteError])
@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error)), raised_by_a_worker],
    ids=["copy", "deepcopy", "pickle", "process"],
)
def test_the_error_of_a_row_survives(kind, copied):
    error = copied(kind("is damaged", row=np.int64(7), source="a.png"))
    assert type(error) is kind
    assert str(error) == "Row 7: is damaged"
    assert (error.message, error.row, error.source) == ("is damaged", 7, "a.png")
    assert type(error.row) is int


def test_the_error_of_a_row_at_another():
    error = ImageReadError("is damaged", source="a.png")
    assert (str(error), error.row) == ("is damaged", None)
    named = error.at(0)
    assert type(named) is ImageReadError
    assert (str(named), named.row, named.source) == ("Row 0: is damaged", 0, "a.png")
    again = named.at(5, "b.png")
    assert (str(again), again.row, again.source) == ("Row 5: is damaged", 5, "b.png")


WRONG = {
    "TensorFlowScorer": lambda value: TensorFlowScorer(value).transform([[1.0]]),
    "providers": lambda value: OnnxScorer(negate(), providers=value).transform([[1.0]]),
    "a list": lambda value: OnnxScorer([value]).transform([[1.0]]),
    "inputs": lambda value: OnnxScorer(negate(), inputs=value).transform([[1.0]]),
    "ImageClassifier": lambda value: ImageClassifier(value).fit([b""], [1]),
    "TextEncoder": lambda value: TextEncoder(value).transform(["a"]),
    "ScoreClassifier": lambda value: ScoreClassifier(["a"], activation=value).predict([[1.0]]),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_model_in_the_place_of_another_parameter(case, kind):
    with pytest.raises(ValueError, match=r"must be .*\. Got .*<6 kB sha256:5af3>.* instead\.") as e:
        WRONG[case](kind(MODEL))
    assert "SECRET" not in str(e.value)
    assert len(str(e.value)) <= MAX_MESSAGE


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: OnnxScorer(MODEL).transform([[1.0]]),
        lambda: OnnxScorer(MODEL.decode() * 10).transform([[1.0]]),
        lambda: OnnxScorer("http://" + MODEL.decode()).transform([[1.0]]),
        lambda: TensorFlowScorer(MODEL.decode() * 10).transform([[1.0]]),
        lambda: OnnxScorer(negate(), outputs=MODEL.decode()).transform([[1.0]]),
        lambda: OnnxScorer(negate(), inputs={MODEL.decode(): 0}).transform([[1.0]]),
        lambda: OnnxScorer(negate(), constants={MODEL.decode(): 0}).transform([[1.0]]),
        lambda: OnnxScorer(negate()).transform(pd.DataFrame({"a": [MODEL.decode()]})),
        lambda: OnnxScorer(negate()).transform([[MODEL]]),
        lambda: OnnxScorer(negate(), session_options={MODEL.decode(): 1}).transform([[1.0]]),
        lambda: OnnxScorer(many_inputs()).transform([[1.0]]),
        lambda: OnnxScorer(many_inputs(), outputs=MODEL.decode()).outputs_,
        lambda: DetectionScorer(MODEL, format="yolox").predict([np.zeros((4, 4, 3), np.uint8)]),
    ],
    ids=[
        "bytes",
        "path",
        "URL",
        "TensorFlow path",
        "outputs",
        "inputs",
        "constants",
        "frame",
        "cell",
        "session options",
        "many inputs",
        "outputs of many inputs",
        "detector",
    ],
)
def test_long_messages_are_cut(wrong):
    with pytest.raises((ValueError, FileNotFoundError, TypeError, OSError)) as caught:
        wrong()
    assert len(str(caught.value)) <= MAX_MESSAGE


def many_inputs():
    inputs = {f"input_{i}": (np.float32, ["N", 1]) for i in range(300)}
    return model([node("Sum", list(inputs), ["y"])], inputs, {"y": (np.float32, ["N", 1])})


def test_messages_that_the_caller_handles_stay():
    handled = RuntimeError("z" * 5000)

    def fail():
        raise ValueError("x" * 5000)

    try:
        raise handled
    except RuntimeError:
        with pytest.raises(ValueError, match="x") as caught, short_messages():
            fail()
    assert caught.value.__context__ is handled
    assert (len(str(caught.value)), len(str(handled))) == (MAX_MESSAGE, 5000)


LONG = "x" * 5000
IMAGES = [np.zeros((4, 4, 3), np.uint8)] * 2


@pytest.mark.parametrize(
    "work",
    [
        lambda: ImageClassifier(LONG).fit(IMAGES, ["a", "b"]),
        lambda: TextClassifier(LONG).fit(["x", "y"], ["a", "b"]),
        lambda: TextEncoder(f"{LONG}/{LONG}").transform(["x"]),
        lambda: ImageLoader().transform([LONG]),
    ],
    ids=["ImageClassifier", "TextClassifier", "TextEncoder", "ImageLoader"],
)
def test_names_and_paths_that_are_long(work):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        work()
    assert 100 < len(str(caught.value)) <= MAX_MESSAGE
