"""predict_partitions, in one process: by dask without a cluster, and on tables of Arrow."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dl import (
    DetectionScorer,
    EntityRecognizer,
    ImageLoader,
    QuestionAnswerer,
    TextClassifier,
    TextEncoder,
)
from sklearn_dl.distributed import predict_partitions
from tests.distributed.estimators import NotesLoads
from tests.text.tiny_encoders import tiny_bert
from tests.vision.detection.detectors import ANCHORS, color_detector, squares

dd = pytest.importorskip("dask.dataframe", reason="needs pip install sklearn-dl[distributed-test]")
pa = pytest.importorskip("pyarrow")
TEXTS = ["a good film", "the bad book", "fine music", "poor plot", "old cat", "new dog"] * 2
LABELS = ["good", "bad"] * 6
SMALL = {"max_length": 32, "precision": "float32"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(tiny_bert(tmp_path_factory.mktemp("encoder") / "bert"))


@pytest.fixture(scope="module")
def classifier(encoder):
    return TextClassifier(encoder, trainable_layers=0, **SMALL).fit(TEXTS, LABELS)


@pytest.fixture
def table():
    index = [f"label {i}" for i in range(len(TEXTS))]
    return pd.DataFrame({"text": TEXTS, "number": np.arange(len(TEXTS)) / 4}, index)


def on_dask(table, estimator, columns, *args, n_partitions=4, **params):
    """The rows with the results, computed by dask; its meta must match them."""
    frame = dd.from_pandas(table, npartitions=n_partitions, sort=False)
    scored = predict_partitions(frame, estimator, columns, *args, **params)
    assert scored.npartitions == frame.npartitions
    computed = scored.compute(scheduler="synchronous")
    assert computed.dtypes.to_dict() == scored.dtypes.to_dict()
    pd.testing.assert_frame_equal(
        computed[table.columns], frame.compute(scheduler="synchronous"), check_exact=True
    )
    return computed.drop(columns=table.columns)


def scorer_of(estimator, columns, method="predict", X_sample=None):
    from sklearn_dl.distributed._pickled_estimator import pickled
    from sklearn_dl.distributed._result_fields import result_fields
    from sklearn_dl.distributed._scorer import Scorer

    fields = result_fields(estimator, columns, method, X_sample)
    return Scorer(pickled(estimator), columns, method, fields)


def as_lists(column):
    """The cells of a column of pandas as objects of Python."""
    return pa.array(column).to_pylist()


def as_dicts(array):
    """The rows of a structured array."""
    return [dict(zip(array.dtype.names, row, strict=True)) for row in array.tolist()]


def test_texts_get_their_labels(table, classifier):
    scored = on_dask(table, classifier, "text")
    assert scored["prediction"].tolist() == classifier.predict(TEXTS).tolist()


def test_probabilities_are_one_column_for_each_class(table, classifier):
    scored = on_dask(table, classifier, "text", "predict_proba")
    assert scored.columns.tolist() == ["proba_bad", "proba_good"]
    np.testing.assert_allclose(scored, classifier.predict_proba(TEXTS), atol=1e-6)
    assert on_dask(table, classifier, "text", "predict_log_proba").columns.tolist() == [
        "log_proba_bad",
        "log_proba_good",
    ]
    logits = on_dask(table, classifier, "text", "decision_function")["decision_function"]
    np.testing.assert_allclose(logits, classifier.decision_function(TEXTS), atol=1e-5)


def test_embeddings_are_lists(table, encoder):
    encode = TextEncoder(encoder, **SMALL)
    scored = on_dask(table, encode, "text", "transform")
    assert scored.dtypes["features"] == pd.ArrowDtype(pa.list_(pa.float32()))
    np.testing.assert_allclose(np.stack(scored["features"]), encode.transform(TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    "y",
    [
        ["b", "a"],
        [3, -1],
        [True, False],
        [1.0, 2.0],
        np.array([7, 8], dtype=np.uint8),
        pd.Series(["b", "a"], dtype="string"),
        pd.Series([3, -1], dtype="Int64"),
        pd.Series([True, False], dtype="boolean"),
        pd.Series(["b", "a"], dtype="category"),
    ],
    ids=lambda y: f"{type(y).__name__} of {getattr(y, 'dtype', type(y[0]).__name__)}",
)
def test_labels_of_each_dtype_are_as_they_are_locally(table, y):
    model = KNeighborsClassifier(1).fit(table[["number"]][:2], y)
    local = pd.Series(model.predict(table[["number"]]), name="prediction")
    scored = on_dask(table, model, ["number"])["prediction"]
    pd.testing.assert_series_equal(scored.reset_index(drop=True), local)


def test_labels_that_may_be_missing(encoder, table):
    table.loc["label 5", "text"] = None
    y = [3, -1] * 6
    model = TextClassifier(encoder, trainable_layers=0, on_error="nan", **SMALL).fit(TEXTS, y)
    with pytest.warns(UserWarning, match="1 of 3 rows could not be read"):
        scored = on_dask(table, model, "text")["prediction"]
    assert scored.dtype == pd.ArrowDtype(pa.int64())
    assert scored.index[scored.isna()].tolist() == ["label 5"]
    assert set(scored.dropna()) <= {3, -1}


def test_several_labels_are_columns(encoder, table):
    y = np.array([[0, 1], [1, 1], [1, 0]] * 4)
    model = TextClassifier(encoder, trainable_layers=0, **SMALL).fit(TEXTS, y)
    scored = on_dask(table, model, "text")
    assert scored.columns.tolist() == ["prediction_0", "prediction_1"]
    assert scored.to_numpy().tolist() == model.predict(TEXTS).tolist()
    proba = on_dask(table, model, "text", "predict_proba")
    assert proba.columns.tolist() == ["proba_0", "proba_1"]


@pytest.fixture
def images(tmp_path):
    """A table of paths, and a detector that finds no, one or two squares in their images."""
    cells = [[], [(0, 1, 2)], [(2, 5, 5), (1, 8, 3)], []]
    paths = []
    for number, found in enumerate(cells):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(squares(*found)).save(paths[-1])
    classes = ["red", "green", "blue"]
    detector = DetectionScorer(
        color_detector(), format="yolov2", classes=classes, anchors=ANCHORS, image_size=320
    )
    return pd.DataFrame({"path": paths}), detector


def test_detections_are_lists_of_structs(images):
    table, detector = images
    local = [as_dicts(objects) for objects in detector.predict(table["path"])]
    assert [len(objects) for objects in local] == [0, 1, 2, 0]
    scored = on_dask(table, detector, "path", n_partitions=2)["prediction"]
    assert as_lists(scored) == local
    assert [field.name for field in scored.dtype.pyarrow_dtype.value_type] == [
        *("x0", "y0", "x1", "y1"),
        *("score", "label"),
    ]
    in_arrow = scorer_of(make_pipeline(ImageLoader(), detector), "path").add_to_arrow(
        pa.Table.from_pandas(table)
    )
    assert in_arrow["prediction"].to_pylist() == local


def test_images_that_cannot_be_read_have_no_list(images):
    table, detector = images
    table.loc[1, "path"] = "/nowhere/none.png"
    with pytest.warns(UserWarning, match="1 of 2 images could not be read"):
        scored = on_dask(table, detector.set_params(on_error="nan"), "path", n_partitions=2)
    assert [cell if cell is None else len(cell) for cell in as_lists(scored["prediction"])] == [
        *(0, None, 2, 0)
    ]


def test_entities_and_tags_are_lists(encoder, table):
    y = [[(text.index(text.split()[-1]), len(text), "NOUN")] for text in TEXTS]
    model = EntityRecognizer(encoder, trainable_layers=0, window_overlap=4, **SMALL).fit(TEXTS, y)
    scored = on_dask(table, model, "text")["prediction"]
    local = [as_dicts(entities) for entities in model.predict(TEXTS)]
    assert any(local)
    for found, expected in zip(as_lists(scored), local, strict=True):
        assert [{**e, "score": None} for e in found] == [{**e, "score": None} for e in expected]
        scores = [e["score"] for e in found]
        np.testing.assert_allclose(scores, [e["score"] for e in expected], atol=1e-6)
    tags = on_dask(table, model, "text", "predict_tags")["tags"]
    assert as_lists(tags) == list(model.predict_tags(TEXTS))


def test_answers_are_structs(encoder):
    table = pd.DataFrame(
        {"question": ["a cat", "a dog"] * 2, "context": ["the cat", "old dog"] * 2}
    )
    model = QuestionAnswerer(encoder, max_epochs=1, random_state=0, window_overlap=4, **SMALL)
    model.fit(table, ["cat", "dog"] * 2)
    scored = on_dask(table, model, ["question", "context"], n_partitions=2)["prediction"]
    local = model.predict(table)
    found = pd.DataFrame(as_lists(scored))
    assert found["answer"].tolist() == local["answer"].tolist()
    assert found["start"].tolist() == local["start"].tolist()
    np.testing.assert_allclose(found["score"], local["score"], atol=1e-6)


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_partitions_without_rows_need_not_be_accepted(table, method):
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match=r"0 sample|empty"):
        model.predict([])
    frame = dd.from_pandas(table, npartitions=4, sort=False)
    frame = frame[frame["number"] > 2]
    scored = predict_partitions(frame, model, "text", method).compute(scheduler="synchronous")
    assert scored.index.tolist() == ["label 9", "label 10", "label 11"]
    local = np.asarray(getattr(model, method)(TEXTS[9:]), dtype=object).reshape(3, -1)
    assert scored.iloc[:, 2:].to_numpy(object).tolist() == local.tolist()


def test_a_search_is_scored_by_its_best_estimator(images):
    table, detector = images
    search = GridSearchCV(make_pipeline(detector), {})
    search.best_estimator_ = make_pipeline(detector)
    scored = on_dask(table, search, "path", n_partitions=1)["prediction"]
    assert [len(cell) for cell in as_lists(scored)] == [0, 1, 2, 0]


def test_the_type_is_learned_from_a_sample_where_no_rows_do_not_tell_it(table):
    model = make_pipeline(StandardScaler(), LinearRegression())
    model.fit(table[["number"]], np.arange(len(table)))
    frame = dd.from_pandas(table, npartitions=3, sort=False)
    with pytest.raises(ValueError, match="pass some rows of the frame as X_sample"):
        predict_partitions(frame, model, ["number"])
    scored = on_dask(table, model, ["number"], X_sample=table[["number"]][:1])["prediction"]
    np.testing.assert_allclose(scored, np.arange(len(table)), atol=1e-9)


def test_an_estimator_is_loaded_once(table, classifier, tmp_path):
    frame = dd.from_pandas(table, npartitions=6, sort=False)
    scored = predict_partitions(frame, NotesLoads(classifier, str(tmp_path)), "text")
    for _ in range(2):
        scored.compute(scheduler="threads", num_workers=3)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_pickle_is_in_the_graph_of_dask_once(table, classifier):
    frame = dd.from_pandas(table, npartitions=6, sort=False)
    graph = predict_partitions(frame, classifier, "text").optimize().__dask_graph__()
    has_pickle = [key for key, task in dict(graph).items() if "Scorer" in repr(task)]
    assert len(has_pickle) == 1


def test_spark_gets_types_that_it_has():
    model = KNeighborsClassifier(1)
    model.fit(pd.DataFrame({"number": [0, 1]}), np.array([7, 8], dtype=np.uint8))
    scorer = scorer_of(model, ["number"]).for_spark()
    scored = scorer.add_to_arrow(pa.table({"number": [0, 1, 1]}))
    assert scored.schema.field("prediction").type == pa.int16()
    assert scored["prediction"].to_pylist() == [7, 8, 8]


def test_an_error_names_the_row(table, classifier):
    table.loc["label 7", "text"] = None
    with pytest.raises(ValueError, match="label 7"):
        on_dask(table, classifier, "text")
    part = pa.table({"id": ["u", "v"], "text": ["fine", None]})
    with pytest.raises(ValueError, match="row 1 is missing") as caught:
        scorer_of(classifier, "text").add_to_arrow(part)
    (note,) = caught.value.__notes__
    assert note == "Row 1 of the 2 rows in this call is {'id': 'v', 'text': None}."


def test_columns_are_checked_before_anything_is_computed(table, classifier):
    frame = dd.from_pandas(table, npartitions=2, sort=False)
    with pytest.raises(ValueError, match=r"no columns \['texts'\]; it has \['text', 'number'\]"):
        predict_partitions(frame, classifier, "texts")
    with pytest.raises(ValueError, match=r"columns \['prediction'\], which the frame already has"):
        predict_partitions(frame.rename(columns={"number": "prediction"}), classifier, "text")
    with pytest.raises(NotFittedError):
        predict_partitions(frame, KNeighborsClassifier(), ["number"])
    with pytest.raises(AttributeError, match="top_words"):
        predict_partitions(frame, classifier, "text", "top_words")


def test_results_that_are_not_columns_are_refused(table):
    frame = dd.from_pandas(table, npartitions=2, sort=False)
    words = TfidfVectorizer().fit(TEXTS)
    with pytest.raises(TypeError, match="Only dense arrays"):
        predict_partitions(frame, words, "text", "transform", X_sample=TEXTS)
    with pytest.raises(TypeError, match="A column cannot hold LazyImage objects"):
        predict_partitions(frame, ImageLoader(), "text", "transform", X_sample=[b"no image"])


def test_a_method_must_return_a_result_for_each_row(images):
    table, detector = images
    frame = dd.from_pandas(table, npartitions=1)
    scored = predict_partitions(
        frame, detector, "path", "predict_frame", X_sample=table["path"].tolist()
    )
    with pytest.raises(ValueError, match="returned 3 rows"):
        scored.compute(scheduler="synchronous")


@pytest.mark.parametrize(
    ("make", "kind", "call"),
    [
        (pd.DataFrame, r"pandas\.", r"predict\(frame\[columns\]\)"),
        (pl.DataFrame, r"polars\.", r"predict\(frame\[columns\]\)"),
        (pl.LazyFrame, r"polars\.", r"predict\(frame\.collect\(\)\[columns\]\)"),
        (dict, "dict", "predict"),
    ],
)
def test_frames_in_memory_are_refused_with_the_call_to_make(classifier, make, kind, call):
    with pytest.raises(TypeError, match=f"but got a .*{kind}.*estimator.{call}"):
        predict_partitions(make({"text": TEXTS}), classifier, "text")


def test_importing_it_imports_no_engine():
    code = (
        "import sys, sklearn_dl.distributed\n"
        "sklearn_dl.distributed.predict_partitions\n"
        "print({'dask', 'distributed', 'ray', 'pyspark', 'pyarrow', 'pandas'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
