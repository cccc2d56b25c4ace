import numpy as np
import onnx
import pandas as pd
import pytest
from joblib import Memory
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor
from sklearn_dl.runtimes.onnx import _graph as _onnx_graph
from tests.scoring.onnx_graphs import WEIGHTS, mean_color, negate, same, two_layers

rng = np.random.default_rng(0)
X = pd.DataFrame(rng.normal(size=(12, 3)), columns=["p", "q", "r"], index=rng.permutation(12) * 7)
Y = np.arange(12) % 2
IMAGES = rng.integers(0, 128, (12, 6, 6, 3), dtype=np.uint8) + 128 * Y[:, None, None, None].astype(
    np.uint8
)


@pytest.mark.slow
@pytest.mark.parametrize("container", ["default", "pandas"])
def test_column_transformer(container):
    table = X.assign(image=list(IMAGES))
    to_means = make_pipeline(ImageLoader(), PixelExtractor(), OnnxScorer(mean_color()))
    columns = ColumnTransformer(
        [
            ("image", to_means, ["image"]),
            ("layers", OnnxScorer(two_layers(), outputs="hidden"), ["p", "q", "r"]),
            ("scaled", StandardScaler(), ["q"]),
        ]
    ).set_output(transform=container)
    out = columns.fit_transform(table)
    names = ["image__y_0", "image__y_1", "image__y_2"]
    names += ["layers__hidden_0", "layers__hidden_1", "scaled__q"]
    assert columns.get_feature_names_out().tolist() == names
    if container == "pandas":
        assert out.columns.tolist() == names
        assert out.index.tolist() == X.index.tolist()
    assert_allclose(np.asarray(out)[:, :3], IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    assert_allclose(np.asarray(out)[:, 3:5], X.to_numpy() @ WEIGHTS, rtol=1e-5, atol=1e-6)
    columns.set_params(image__onnxscorer__batch_size=2)
    scores = cross_validate(make_pipeline(columns, LogisticRegression()), table, Y, cv=3)
    assert_array_equal(scores["test_score"], [1, 1, 1])


def test_feature_union():
    union = FeatureUnion([("n", OnnxScorer(negate())), ("s", OnnxScorer(same()))])
    union.set_output(transform="pandas")
    out = union.fit_transform(X)
    assert out.columns.tolist() == [f"{s}__y_{i}" for s in "ns" for i in range(3)]
    assert out.index.tolist() == X.index.tolist()
    assert_allclose(out, np.hstack([-X, X]), rtol=1e-6)


@pytest.mark.slow
def test_grid_search_in_workers():
    pipe = make_pipeline(
        ImageLoader(),
        ImageResizer(),
        PixelExtractor(scale=1 / 255),
        OnnxScorer(mean_color().SerializeToString()),
        LogisticRegression(),
    )
    grid = {"imageresizer__width": [2, 5], "onnxscorer__batch_size": [1, "auto"]}
    search = GridSearchCV(pipe, grid, cv=3, n_jobs=2).fit(list(IMAGES), Y)
    assert search.best_score_ == 1.0
    assert_array_equal(search.predict(list(IMAGES)), Y)


def test_cached_pipeline(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(negate().SerializeToString())
    runs = []
    run = _onnx_graph.OnnxSession.run
    monkeypatch.setattr(
        _onnx_graph.OnnxSession, "run", lambda self, feeds: runs.append(1) or run(self, feeds)
    )
    steps = [("score", OnnxScorer(path)), ("last", StandardScaler())]
    pipe = Pipeline(steps, memory=Memory(tmp_path / "cache", verbose=0))
    first = pipe.fit_transform(X)
    n_runs = len(runs)
    clone(pipe).fit(X)
    assert len(runs) == n_runs
    path.write_bytes(same().SerializeToString())
    clone(pipe).fit(X)
    assert len(runs) > n_runs
    assert_allclose(clone(pipe).fit_transform(X), -first, rtol=1e-5)


class Counted(bytes):
    """Bytes that must not be shown as they are."""

    def __repr__(self):
        raise AssertionError("the repr of the whole model was made")


@pytest.fixture(scope="module")
def large():
    made = negate()
    made.doc_string = "x" * 2_000_000
    return Counted(made.SerializeToString())


@pytest.mark.slow
def test_short_repr(large):
    scorer = OnnxScorer(large, outputs="y")
    shown = "<2 MB sha256:"
    assert repr(scorer).startswith(f"OnnxScorer(model={shown}")
    assert len(repr(scorer)) < 60
    pipe = make_pipeline(
        ImageLoader(), GridSearchCV(make_pipeline(scorer), {"onnxscorer": [scorer]})
    )
    for estimator in (scorer, pipe, make_pipeline(scorer)):
        assert shown in repr(estimator)
        assert len(repr(estimator)) < 1000
        html = estimator_html_repr(estimator)
        assert "2 MB sha256:" in html
        assert len(html) < 200_000


def test_short_repr_of_a_proto(large):
    scorer = OnnxScorer(onnx.load_model_from_string(bytes(large)))
    for estimator in (scorer, make_pipeline(scorer)):
        assert "model=<2 MB sha256:" in repr(estimator)
        assert len(repr(estimator)) < 300
        assert "doc_string" not in estimator_html_repr(estimator)


def test_repr_of_a_path():
    assert repr(OnnxScorer("efficientnet-lite0")) == "OnnxScorer(model='efficientnet-lite0')"


def test_parameters_are_handed_out_whole(large):
    data = bytes(large)
    assert OnnxScorer(data).get_params()["model"] is data
    assert clone(make_pipeline(OnnxScorer(data)))[0].model is data


def test_html_links_to_the_documentation():
    html = estimator_html_repr(OnnxScorer(negate()))
    assert "sk-estimator-doc-link" in html


def test_fit_learns_nothing_and_repeats():
    scorer = OnnxScorer(negate()).fit(X)
    first = scorer.transform(X)
    assert_array_equal(scorer.fit(X).transform(X), first)
    assert_array_equal(OnnxScorer(negate()).transform(X), first)
    assert_array_equal(scorer.transform(X[::-1]), first[::-1])
