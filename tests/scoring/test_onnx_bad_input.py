import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from onnx import helper
from PIL import Image
from scipy.sparse import csr_array

from sklearn_dl import ImageLoader, OnnxScorer
from tests.scoring.onnx_graphs import (
    SHARED,
    mean_color,
    model,
    needs_shared,
    negate,
    node,
    same,
    two_layers,
)

X = np.ones((2, 3))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither a file nor a registered model.*lite0"):
        OnnxScorer(tmp_path / "none.onnx").transform(X)
    with pytest.raises(FileNotFoundError, match="model='efficientnet'"):
        OnnxScorer("efficientnet").fit(X)


def test_folder(tmp_path):
    with pytest.raises(ValueError, match="is a folder, not an ONNX file"):
        OnnxScorer(tmp_path).transform(X)


def test_url():
    with pytest.raises(ValueError, match="is a URL, and URLs are not downloaded"):
        OnnxScorer("https://example.org/model.onnx").transform(X)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 100, b"<html>", bytes(range(256)), b"\x08\x08"],
    ids=["empty", "zeros", "HTML", "every byte", "cut field"],
)
def test_bytes_that_are_not_an_onnx_model(tmp_path, data):
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"bad\.onnx is not an ONNX model"):
        OnnxScorer(path).transform(X)
    with pytest.raises(ValueError, match=f"<{len(data)} bytes> is not an ONNX model"):
        OnnxScorer(data).transform(X)


def test_a_file_that_ends_anywhere_is_refused(capfd):
    data = two_layers().SerializeToString()
    whole = OnnxScorer(data).transform(X)
    refused = 0
    for cut in range(len(data)):
        scorer = OnnxScorer(data[:cut])
        try:
            out = scorer.transform(X)
        except ValueError:
            refused += 1
        else:  # cut after the last byte that is needed
            np.testing.assert_array_equal(out, whole)
    assert refused >= len(data) - 2
    assert capfd.readouterr() == ("", "")


@needs_shared
def test_a_real_file_that_ends_anywhere_is_refused():
    data = (SHARED / "iris_mlp" / "Network.onnx").read_bytes()
    for cut in range(0, len(data), 37):
        with pytest.raises(ValueError, match=f"{cut} bytes"):
            OnnxScorer(data[:cut]).transform(np.ones((1, 4)))


@pytest.mark.parametrize("domain", ["", "my.company"])
def test_unknown_operator(domain, capfd):
    made = negate()
    made.graph.node[0].op_type = "Frobnicate"
    made.graph.node[0].domain = domain
    if domain:
        made.opset_import.append(helper.make_opsetid(domain, 1))
    with pytest.raises(ValueError, match=r"ONNX Runtime cannot run .*Frobnicate"):
        OnnxScorer(made).transform(X)
    assert capfd.readouterr() == ("", "")


def test_failing_run(capfd):
    made = model(
        [node("Gather", ["table", "x"], ["y"])],
        {"x": (np.int64, ["N"])},
        {"y": (np.float32, ["N"])},
        {"table": np.float32([7, 8])},
    )
    scorer = OnnxScorer(made, batch_size=2)
    np.testing.assert_array_equal(scorer.transform([[0], [1], [1]]), [[7], [8], [8]])
    with pytest.raises(ValueError, match=r"The graph failed on rows 2 to 3: .*out of.*bounds"):
        scorer.transform([[0], [1], [1], [9], [1]])
    assert capfd.readouterr() == ("", "")


EXPECTED_3 = r"The graph expects 'x': shape \('N', 3\), float32; X has rows of shape "


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((2, 4)), EXPECTED_3 + r"\(4,\)"),
        (np.ones((2, 3, 1)), EXPECTED_3 + r"\(3, 1\)"),
        ([np.ones(3), np.ones(2)], r"\('N', 3\), float32; X has row 1 of shape \(2,\)"),
        (np.ones(3), "Expected 2D array, got 1D array"),
        ([1.0, 2.0], "Expected 2D array, got 1D array"),
        (pd.Series([1.0, 2.0]), "Expected (2D|a 2-dimensional)"),
        (np.empty((0, 2)), EXPECTED_3 + r"\(2,\)"),
        (pd.DataFrame({"a": []}, dtype=float), EXPECTED_3 + r"\(1,\)"),
        (pl.DataFrame({"a": []}), EXPECTED_3 + r"\(1,\)"),
        (np.empty((0, 0)), r"0 feature\(s\)"),
        (pd.DataFrame(index=[0, 1]), r"0 feature\(s\)"),
        ("one string", "got a single str: wrap it in a list"),
        (
            {"x": [1]},
            "X is a dict, but the graph has only one input, 'x': pass the array",
        ),
        (None, "got a single NoneType"),
        ([[1, 2, 3], None], r"Row 1 has type NoneType|float\(\) argument|inhomogeneous"),
        (pd.Series([np.ones(3), None]), "Row 1 has type NoneType, but other rows .* are arrays"),
        (pd.Series([["a", "b", "c"], ["d"]]), "Row 0: an array of dtype <U1 cannot be the input"),
        (pd.DataFrame({"a": [[1, 2]], "b": [[3, 4]]}), "one column of arrays, got 2 columns"),
        ([[1, 2], [3]], "float32; X has row 0 of shape"),
        ([[1j, 2j, 3j]], "[Cc]omplex"),
    ],
    ids=[
        "4 columns",
        "3-D",
        "rows of two lengths",
        "1-D array",
        "1-D list",
        "pandas Series of numbers",
        "array without rows",
        "pandas frame without rows",
        "polars frame without rows",
        "array without columns",
        "pandas frame without columns",
        "a string",
        "a dict",
        "None",
        "None among rows",
        "None among arrays",
        "arrays of strings",
        "two columns of arrays",
        "lists of two lengths",
        "complex numbers",
    ],
)
def test_X_that_does_not_fit(X, message):
    for method in ("fit", "transform"):
        with pytest.raises((ValueError, TypeError), match=message):
            getattr(OnnxScorer(two_layers()), method)(X)


def test_sparse():
    with pytest.raises(TypeError, match=r"needs dense data: use X\.toarray"):
        OnnxScorer(negate()).transform(csr_array(X))


def test_images_without_extractor():
    images = ImageLoader().transform([np.zeros((2, 2, 3), np.uint8)])
    for X in (images, list(images[:, 0])):
        with pytest.raises(ValueError, match="got images, not numbers: put a PixelExtractor"):
            OnnxScorer(mean_color()).transform(X)


SMALL, LARGE = Image.new("RGB", (2, 5)), Image.new("RGB", (4, 4))


@pytest.mark.parametrize(
    "X",
    [[SMALL], [SMALL, LARGE], [[SMALL], [LARGE]], [LARGE.convert("L")], (SMALL,)],
    ids=["one", "two sizes", "a column", "grey", "a tuple"],
)
def test_images_that_no_step_has_loaded(X):
    with pytest.raises(ValueError, match=r"Row 0: .*got an image .*put ImageLoader, ImageResizer"):
        OnnxScorer(mean_color()).transform(X)


def test_images_that_fit_as_they_are():
    shape = ["N", "H", "W", 3]
    graph = same(np.uint8, shape)
    out = OnnxScorer(graph, output_shape="native").transform([SMALL, SMALL])
    np.testing.assert_array_equal(out, np.zeros((2, 5, 2, 3), np.uint8))


def test_a_fit_that_fails_leaves_the_scorer_as_it_was():
    wrong = pd.DataFrame(np.ones((2, 4)), columns=list("abcd"))
    right = pd.DataFrame(np.ones((2, 3)), columns=list("xyz"))
    scorer = OnnxScorer(two_layers())
    for fitted in (False, True):
        before = dict(vars(scorer.fit(right) if fitted else scorer))
        with pytest.raises(ValueError, match=EXPECTED_3):
            scorer.fit(wrong)
        assert vars(scorer) == before
    assert scorer.feature_names_in_.tolist() == ["x", "y", "z"]


def test_one_row():
    np.testing.assert_array_equal(OnnxScorer(negate()).fit_transform([[1, 2]]), [[-1, -2]])


def test_number_of_columns_is_that_of_fit():
    scorer = OnnxScorer(negate()).fit(X)
    with pytest.raises(ValueError, match="X has 2 features, but OnnxScorer is expecting 3"):
        scorer.transform(X[:, :2])


@pytest.mark.parametrize("hidden", ["onnxruntime", "onnx"])
def test_missing_package(monkeypatch, hidden):
    from sklearn_dl import clear_sessions

    clear_sessions()
    data = negate().SerializeToString()
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(ImportError, match=rf'needs {hidden}: pip install "sklearn-dl\['):
        OnnxScorer(data).transform(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"model": 3}, "'model' parameter of OnnxScorer must be"),
        ({"outputs": 3}, "'outputs' parameter"),
        ({"output_shape": "3d"}, "'output_shape' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"n_threads": 0}, "'n_threads' parameter"),
        (
            {"providers": ["Nonsense"]},
            r"\['Nonsense'\] must be \"auto\" or a list of at least one of "
            r"\[.*'CPUExecutionProvider'",
        ),
        ({"providers": []}, 'must be "auto" or a list of at least one of'),
        ({"session_options": {"nonsense": 1}}, "'nonsense', which cannot be set: use one of"),
        ({"session_options": {"intra_op_num_threads": 2}}, "cannot be set: use n_threads"),
        ({"session_options": {"add_initializer": 2}}, "cannot be set"),
        (
            {"session_options": {"graph_optimization_level": "ORT_MOST"}},
            r"'ORT_MOST' must be one of \['ORT_DISABLE_ALL'",
        ),
        (
            {"session_options": {"enable_mem_pattern": "x"}},
            "enable_mem_pattern='x' must be of type bool",
        ),
    ],
    ids=[
        "model",
        "outputs",
        "output_shape",
        "batch_size",
        "n_threads",
        "unknown provider",
        "no provider",
        "unknown option",
        "option of the number of threads",
        "option that is a method",
        "unknown optimization level",
        "option of another type",
    ],
)
def test_wrong_parameters(params, message):
    scorer = OnnxScorer(negate()).set_params(**params)
    for method in (scorer.fit, scorer.transform):
        with pytest.raises(ValueError, match=message):
            method(X)


@pytest.mark.parametrize(("bad", "kind"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_a_number_that_is_not_finite_names_its_row(bad, kind):
    with pytest.raises(ValueError, match=f"Row 1: X contains {kind}"):
        OnnxScorer(negate().SerializeToString()).transform([[1.0, 2.0], [bad, 3.0]])


@pytest.mark.parametrize("columns", [[], None, [True, False], 1.5], ids=repr)
def test_columns_that_are_refused(columns):
    scorer = OnnxScorer(negate().SerializeToString(), inputs={"x": columns})
    with pytest.raises(ValueError, match=r"inputs\['x'\]"):
        scorer.transform(np.ones((2, 2)))
