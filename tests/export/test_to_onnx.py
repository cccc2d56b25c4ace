"""What `to_onnx` checks: its parameters, the sample, and the model that it has made."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_dl.export import to_onnx
from sklearn_dl.export._build import build
from sklearn_dl.export._verify import verify_model

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
CLF = LogisticRegression().fit(X, Y)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"text": "bytes"}, "text='bytes' must be one of string, utf8, token_ids"),
        ({"weights": "int4"}, "weights='int4' must be one of float32, float16, int8"),
        ({"resize": "slow"}, "resize='slow' must be one of exact, fast"),
        ({"target_opset": 17}, "target_opset=17 must be an int, at least 18, or None"),
        ({"target_opset": "18"}, "target_opset='18' must be an int"),
        ({"target_opset": 1000}, "target_opset=1000 is newer than"),
    ],
)
def test_unknown_options(parameter, message):
    with pytest.raises(ValueError, match=message):
        to_onnx(CLF, X, **parameter)


@pytest.mark.parametrize("opset", [18, 19, 20])
def test_the_target_opset_is_that_of_the_model(opset):
    versions = {e.domain: e.version for e in to_onnx(CLF, X, target_opset=opset).opset_import}
    assert versions[""] == opset


@pytest.mark.parametrize("estimator", [LogisticRegression(), make_pipeline(StandardScaler())])
def test_an_unfitted_estimator(estimator):
    with pytest.raises(NotFittedError):
        to_onnx(estimator, X)


@pytest.mark.parametrize("package", ["onnx", "onnx_ir", "onnxruntime", "skl2onnx"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package}: pip install .*sklearn-dl\[export\]"):
        to_onnx(CLF, X)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (X[:, :3], "X_sample has 3 columns, but LogisticRegression was fitted on 4"),
        (X[:0], "X_sample has no rows"),
        ([], "X_sample has no rows"),
        ({}, "X_sample has no rows"),
        (X.astype(complex), "dtype complex128, which ONNX does not have"),
        (X.astype(np.longdouble), "dtype float128, which ONNX does not have"),
        (pd.DataFrame({"when": pd.date_range("2020", periods=3)}), "'when' has dtype datetime64"),
        (None, "X_sample=None is possible only for estimators that take one column of texts"),
        ("a text", "got a single str: wrap it in a list"),
    ],
)
def test_a_sample_that_does_not_fit(sample, message):
    with pytest.raises(ValueError, match=message):
        to_onnx(CLF, sample)


def test_columns_in_another_order():
    frame = pd.DataFrame(X, columns=list("abcd"))
    fitted = LogisticRegression().fit(frame, Y)
    with pytest.raises(ValueError, match=r"\['b', 'a', 'c', 'd'\], but .* fitted on \['a', 'b'"):
        to_onnx(fitted, frame[list("bacd")])


def built(estimator, sample=X):
    return build(estimator, sample, "string", "exact", None)


@pytest.mark.parametrize(
    ("estimator", "other", "message"),
    [
        (
            LinearRegression().fit(X, X[:, 0]),
            LinearRegression().fit(X, X[:, 0] + 1e-3 * X[:, 1]),
            r"by more than 1e-05: row \d+ of 'prediction' differs by 0\.00",
        ),
        (
            StandardScaler().fit(X),
            StandardScaler().fit(X[:20]),
            r"by more than 1e-05: row \d+ of 'features' differs by 0\.\d",
        ),
        (CLF, LogisticRegression().fit(X, 1 - Y), r"row \d+ of 'probabilities' differs by 0\.\d"),
    ],
)
def test_a_model_that_differs_is_not_returned(estimator, other, message):
    made = built(estimator)
    assert "largest difference" in verify_model(made, "float32", "exact")
    with pytest.raises(ValueError, match=message):
        verify_model(made._replace(estimator=other), "float32", "exact")


def test_labels_of_ties_may_differ_and_others_may_not():
    from sklearn_dl.export._verify import _compare

    expected = {"label": ["a", "a"], "probabilities": [np.array([0.500001, 0.499999])] * 2}
    made = {"label": ["b", "a"], "probabilities": [np.array([0.499999, 0.500001])] * 2}
    assert _compare(made, expected, 1e-5, True)[1] is None
    fault = _compare({"label": ["b"]}, {"label": ["a"]}, 1e-5, True)[1]
    assert fault == "'label' of row 0 is 'b', but the estimator has 'a'"
    assert _compare({"label": ["b"]}, {"label": ["a"]}, 1e-5, False)[1] is None


@pytest.mark.parametrize(
    ("probabilities", "label", "is_tie"),
    [
        # one class: only the two highest probabilities count
        ([0.5, 0.3, 0.2], "a", False),
        ([0.401, 0.4, 0.199], "a", True),
        # several labels: only the distance to 0.5 counts
        ([0.9, 0.9, 0.2], [1, 1, 0], False),
        ([0.9, 0.501, 0.2], [1, 1, 0], True),
    ],
)
def test_what_counts_as_a_tie(probabilities, label, is_tie):
    from sklearn_dl.export._verify import _ties

    expected = {"label": [label], "probabilities": [np.array(probabilities)]}
    assert _ties(expected, 0.006) == ({0} if is_tie else set())


def test_nan_is_equal_to_nan_only():
    from sklearn_dl.export._verify import _compare

    nan = [np.array([np.nan])]
    assert _compare({"features": nan}, {"features": nan}, 1e-5, True) == (0.0, None)
    assert _compare({"features": [np.array([0.0])]}, {"features": nan}, 1e-5, True)[1] is not None


def test_what_is_printed(capsys):
    to_onnx(CLF, X)
    assert capsys.readouterr().out == ""
    to_onnx(CLF, X, weights="float16", verbose=1)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert "weights stored as float16" in printed[1]
    assert printed[2].endswith("in 30 rows")


def objects(scores, labels, shift=0.0):
    """Boxes in a row, of 10 x 10 pixels, moved to the right by `shift`."""
    left = 20.0 * np.arange(len(scores)) + shift
    boxes = np.column_stack([left, left * 0, left + 10, left * 0 + 10])
    return {"boxes": [boxes], "scores": [np.array(scores)], "labels": [np.array(labels)]}


def difference(made, wanted):
    from sklearn_dl.export._verify import _compare, _match_objects

    _match_objects(made, wanted, 0, 0.31)
    return _compare(made, wanted, 0.01, True)


def test_objects_are_compared_with_those_that_they_overlap():
    wanted = objects([0.8, 0.79], ["cat", "dog"])
    swapped = {name: [rows[0][::-1]] for name, rows in wanted.items()}
    assert difference(swapped, wanted) == (0.0, None)
    # the third is just above the threshold
    assert difference(objects([0.8, 0.79, 0.305], ["cat", "dog", "cat"]), wanted)[1] is None
    assert difference(objects([0.8, 0.79, 0.5], ["cat", "dog", "cat"]), wanted)[1] is not None
    assert difference(objects([0.8], ["cat"]), wanted)[1] is not None
    assert difference(objects([0.8, 0.79], ["cat", "cat"]), wanted)[1] is not None
    assert difference(objects([0.8, 0.7], ["cat", "dog"]), wanted)[1] is not None
    assert difference(objects([0.8, 0.79], ["cat", "dog"], shift=0.5), wanted)[1] is None
    assert difference(objects([0.8, 0.79], ["cat", "dog"], shift=3.0), wanted)[1] is not None
    assert difference(objects([], []), objects([], [])) == (0.0, None)


@pytest.mark.parametrize("name", ["label", "probabilities", ""])
def test_a_column_whose_name_the_file_cannot_have(name):
    frame = pd.DataFrame(X, columns=["a", "b", "c", name])
    message = "the name of an output" if name else "no name"
    with pytest.raises(ValueError, match=f"the column '{name}' has {message}.*Rename"):
        to_onnx(LogisticRegression().fit(frame, Y), frame)
    # a column that is left out may have any name
    columns = make_column_transformer(("passthrough", ["a", "b"]))
    to_onnx(make_pipeline(columns, LogisticRegression()).fit(frame, Y), frame)


@pytest.mark.parametrize(
    "sample",
    [
        X.tolist(),
        tuple(map(tuple, X)),
        X.astype(object),
        # scikit-learn does not take these for names
        pd.DataFrame(X),
    ],
)
def test_numbers_without_names_are_one_input(sample):
    (given,) = to_onnx(CLF, sample).graph.input
    assert given.name == "X"
    assert given.type.tensor_type.shape.dim[1].dim_value == 4


def test_numbers_and_strings_in_rows_of_objects():
    rows = [[1.0, "a"], [2.0, "b"], [3.0, "a"]]
    columns = make_column_transformer((StandardScaler(), [0]), (OneHotEncoder(), [1])).fit(
        np.array(rows, dtype=object)
    )
    for sample in (rows, np.array(rows, dtype=object)):
        assert [value.name for value in to_onnx(columns, sample).graph.input] == ["X", "text"]


@pytest.mark.parametrize("cell", [None, np.nan, 3, b"a"])
def test_cells_among_strings_that_are_none(cell):
    frame = pd.DataFrame({"word": ["a", "b", cell], "other": [cell, "a", "b"]})
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["word"]))
    encoder.fit(pd.DataFrame({"word": ["a", "b", "c"], "other": ["a", "b", "c"]}))
    with pytest.raises(ValueError, match=r"X_sample: row 2 of column 'word' is .*strings only,"):
        to_onnx(encoder, frame)
    to_onnx(encoder, frame.head(2))
