"""Inputs and outputs of signatures: inner tensors, bytes, ragged and sparse tensors."""

import io

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from sklearn_dl import TensorFlowScorer
from tests.scoring.tensorflow_models import affine, frozen, same, tf, two_layers, v1

X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2


def saved(folder, build):
    """Write a TensorFlow 1 SavedModel; `build` gives its signature's inputs and outputs."""
    with tf.Graph().as_default(), v1.Session() as session:
        inputs, outputs = build()
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def(
            {name: info(tensor) for name, tensor in inputs.items()},
            {name: info(tensor) for name, tensor in outputs.items()},
        )
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    return str(folder)


def parsed_examples():
    """A placeholder of tf.Example, and its `x`: what is exported for TensorFlow Serving."""
    examples = v1.placeholder(tf.string, (None,), name="tf_example")
    x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([3], tf.float32)})["x"]
    return examples, x


def example(values):
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString()


# --- inner tensors that are fed


def test_a_signature_that_feeds_an_inner_tensor(tmp_path):
    def build():
        _, x = parsed_examples()
        return {"x": x}, {"y": 2 * x}

    scorer = TensorFlowScorer(saved(tmp_path / "model", build))
    assert [spec.name for spec in scorer.inputs_] == ["x"]
    assert_array_equal(scorer.transform(X), 2 * X)


def test_placeholders_that_the_outputs_still_need_are_asked_for(tmp_path):
    def build():
        examples, x = parsed_examples()
        keep = v1.placeholder(tf.float32, (), name="keep_prob")
        scale = v1.placeholder_with_default(1.0, (), name="scale")
        n_bytes = tf.strings.length(examples, name="n_bytes")
        return {"x": x}, {"y": 2 * x * keep * scale, "n_bytes": n_bytes}

    path = saved(tmp_path / "model", build)
    scorer = TensorFlowScorer(path, outputs="y", constants={"keep_prob": 0.5})
    assert [spec.name for spec in TensorFlowScorer(path, outputs="y").inputs_] == ["x", "keep_prob"]
    assert_array_equal(scorer.transform(X), X)
    scorer.set_params(constants={"keep_prob": 0.5, "scale": 3.0})
    assert_array_equal(scorer.transform(X), 3 * X)
    # beside `n_bytes` the examples are needed, too
    names = [spec.name for spec in TensorFlowScorer(path).inputs_]
    assert names == ["x", "keep_prob", "tf_example"]


def test_outputs_before_the_tensor_that_is_fed(tmp_path):
    def build():
        _, x = parsed_examples()
        inner = tf.identity(tf.negative(x, name="before"), name="inner")
        return {"x": inner}, {"y": 2 * inner}

    path = saved(tmp_path / "model", build)
    scorer = TensorFlowScorer(path, outputs="before")
    assert [spec.name for spec in scorer.inputs_] == ["tf_example"]
    assert_array_equal(scorer.transform([example(row) for row in X]), -X)
    assert_array_equal(TensorFlowScorer(path, outputs="inner").transform(X), X)


def test_an_output_that_is_an_input(tmp_path):
    def build():
        key = v1.placeholder(tf.int64, (None,), name="key")
        x = v1.placeholder(tf.float32, (None,), name="x")
        return {"key": key, "x": x}, {"key": key, "y": -x}

    scorer = TensorFlowScorer(saved(tmp_path / "model", build), output_shape="native")
    result = scorer.transform(pd.DataFrame({"key": [7, 8], "x": [1.0, 2.0]}))
    assert {name: array.tolist() for name, array in result.items()} == {
        "key": [7, 8],
        "y": [-1, -2],
    }


def test_an_operation_that_must_run_before_is_fed_too(tmp_path):
    def build():
        x = v1.placeholder(tf.float32, (None, 3), name="x")
        limit = v1.placeholder(tf.float32, (), name="limit")
        with tf.control_dependencies([v1.debugging.assert_less(x, limit)]):
            y = tf.identity(x)
        return {"x": x}, {"y": y}

    scorer = TensorFlowScorer(saved(tmp_path / "model", build), constants={"limit": 9.0})
    assert_array_equal(scorer.transform(X), X)
    with pytest.raises(ValueError, match="The graph failed on rows 0 to 1"):
        scorer.set_params(constants={"limit": 1.0}).transform(X)


# --- bytes


def jpeg(color):
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), color).save(buffer, "JPEG")
    return buffer.getvalue()


class Images(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serve(self, image_bytes):
        def mean(encoded):
            return tf.reduce_mean(tf.cast(tf.io.decode_jpeg(encoded, 3), tf.float32), [0, 1])

        spec = tf.TensorSpec([3], tf.float32)
        return {"scores": tf.map_fn(mean, image_bytes, fn_output_signature=spec)}


@pytest.mark.parametrize(
    "column",
    [
        list,
        pd.Series,
        lambda cells: pd.DataFrame({"a": cells}),
        lambda c: np.array(c, dtype=object),
    ],
    ids=["list", "series", "frame", "objects"],
)
def test_encoded_images(column):
    scorer = TensorFlowScorer(Images())
    result = scorer.transform(column([jpeg("red"), jpeg("blue")]))
    np.testing.assert_allclose(result, [[254, 0, 0], [0, 0, 254]], atol=1)  # JPEG rounds


def test_serialized_examples(tmp_path):
    def build():
        examples, x = parsed_examples()
        return {"examples": examples}, {"y": 2 * x}

    scorer = TensorFlowScorer(saved(tmp_path / "model", build))
    assert_array_equal(scorer.transform([example(row) for row in X]), 2 * X)


def test_bytes_come_through_as_they_are(tmp_path):
    def build():
        tf.strings.length(v1.placeholder(tf.string, (None,), name="x"), name="y")

    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", build))
    cells = [b"\xff\x00\x00", "Ü", b"", b"a\x00"]
    assert scorer.transform(cells).ravel().tolist() == [3, 2, 0, 2]
    nested = pd.Series([[b"\xff\x00"], ["a"]])
    both = TensorFlowScorer(frozen(tmp_path / "same.pb", same(tf.string, (None, 1))))
    assert both.transform(nested).tolist() == [[b"\xff\x00"], ["a"]]


def test_what_is_neither_string_nor_bytes(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", same(tf.string, (None,))))
    with pytest.raises(ValueError, match=r"Row 1: .* takes strings, but got a missing value"):
        scorer.transform([b"a", None])
    with pytest.raises(ValueError, match=r"takes strings, but got bytearray.* \(type bytearray\)"):
        scorer.transform([bytearray(b"x" * 5000)])
    with pytest.raises(ValueError, match="arrays of bytes drop the zero bytes at the end"):
        scorer.transform(np.array([b"a\x00", b"abc"]))


def test_one_string_for_all_rows_must_be_one(tmp_path):
    def build():
        x = v1.placeholder(tf.string, (None,), name="x")
        tf.strings.join([x, v1.placeholder(tf.string, (), name="end")], name="y")

    scorer = TensorFlowScorer(frozen(tmp_path / "m.pb", build), inputs={"x": 0, "end": 1})
    assert scorer.transform([["a", "z"], ["b", "z"]]).tolist() == [["az"], ["bz"]]
    with pytest.raises(ValueError, match="'end' takes one value for all rows, but the rows differ"):
        scorer.transform([["a", "z"], ["b", "y"]])


# --- ragged and sparse outputs


class Words(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="x")])
    def serve(self, x):
        words = tf.strings.split(x)
        lengths = tf.strings.length(words)
        one_hot = tf.one_hot(tf.minimum(tf.strings.length(x), 4), 5)
        return {
            "words": words,
            "letters": tf.strings.unicode_split(words, "UTF-8"),
            "pairs": tf.stack([lengths, -lengths], -1),
            "n": tf.strings.length(x),
            "sparse": tf.sparse.from_dense(one_hot),
            "sparse_words": words.to_sparse(),
        }


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    module = Words()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return str(folder)


TEXTS = ["a bé", "", "ccc", "d e f"]


def plain(cells):
    """Lists of what may be arrays of arrays."""
    return [plain(cell) for cell in cells] if isinstance(cells, np.ndarray) else cells


@pytest.mark.parametrize("batch_size", [1, 3, "auto"])
def test_ragged_outputs(words, batch_size):
    scorer = TensorFlowScorer(
        words,
        outputs=["words", "letters", "pairs", "n"],
        output_shape="native",
        batch_size=batch_size,
    )
    result = scorer.fit(TEXTS).transform(TEXTS)
    assert plain(result["words"]) == [["a", "bé"], [], ["ccc"], ["d", "e", "f"]]
    letters = [[["a"], ["b", "é"]], [], [["c", "c", "c"]], [["d"], ["e"], ["f"]]]
    assert plain(result["letters"]) == letters
    assert [row.dtype for row in result["pairs"]] == ["int32"] * 4
    assert [row.tolist() for row in result["pairs"]][:3] == [[[1, -1], [3, -3]], [], [[3, -3]]]
    assert result["n"].tolist() == [5, 0, 3, 5]
    assert [str(spec) for spec in scorer.outputs_][:2] == [
        "'words': shape ('?', '?'), str",
        "'letters': shape ('?', '?', '?'), str",
    ]


@pytest.mark.parametrize("texts", [TEXTS, ["a b", "c d"], ["a"]])
def test_a_ragged_output_is_not_a_table(words, texts):
    scorer = TensorFlowScorer(words, outputs="words")
    for work in (scorer.fit, scorer.transform):
        with pytest.raises(
            ValueError, match=r"The output 'words' has .* which do not fit in one table; use"
        ):
            work(texts)
    # the others can be had
    assert TensorFlowScorer(words, outputs="n").transform(TEXTS).ravel().tolist() == [5, 0, 3, 5]


def test_a_sparse_output_of_known_width_is_dense(words):
    scorer = TensorFlowScorer(words, outputs="sparse")
    assert_array_equal(
        scorer.fit(TEXTS).transform(TEXTS), np.eye(5, dtype=np.float32)[[4, 0, 3, 4]]
    )
    assert scorer.get_feature_names_out().tolist() == [f"sparse_{j}" for j in range(5)]


def test_a_sparse_output_whose_width_the_batch_decides(words):
    scorer = TensorFlowScorer(words, outputs="sparse_words", output_shape="native")
    with pytest.raises(ValueError, match="The output 'sparse_words' is sparse, and its width"):
        scorer.transform(TEXTS)


def test_a_sparse_input_is_refused_where_it_is_needed(tmp_path):
    def build():
        sparse = v1.sparse_placeholder(tf.float32, (None, 3), name="sparse")
        x = v1.placeholder(tf.float32, (None, 3), name="x")
        return {"sparse": sparse, "x": x}, {"y": 2 * x, "z": tf.sparse.to_dense(sparse)}

    path = saved(tmp_path / "model", build)
    assert_array_equal(TensorFlowScorer(path, outputs="y").transform(X), 2 * X)
    with pytest.raises(ValueError, match="the signature's input 'sparse', which is sparse or"):
        TensorFlowScorer(path).transform(X)


# --- inner tensors that can be asked for


def test_tensors_are_listed(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", two_layers))
    f32 = np.dtype(np.float32)
    assert scorer.tensors_ == (("hidden", (None, 2), f32), ("y", (None, 2), f32))
    for spec in scorer.tensors_:
        result = TensorFlowScorer(tmp_path / "model.pb", outputs=spec.name).transform(X)
        assert result.shape == (2, 2)


def test_tensors_of_a_saved_model_are_listed_without_what_saves(tmp_path):
    scorer = TensorFlowScorer(affine(tmp_path / "model"))
    names = [spec.name for spec in scorer.tensors_]
    assert "StatefulPartitionedCall" in names
    assert not [name for name in names if "Restore" in name or "save" in name.lower()]


def test_nan_is_what_the_graph_gives(tmp_path):
    def build():
        tf.math.log(v1.placeholder(tf.float32, (None, 3), name="x"), name="y")

    path = frozen(tmp_path / "model.pb", build)
    for shape in ("2d", "native"):
        result = TensorFlowScorer(path, output_shape=shape).fit([[1, 1, 1]]).transform([[1, 0, -1]])
        assert_array_equal(result, np.array([[0, -np.inf, np.nan]], np.float32))
