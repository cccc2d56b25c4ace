"""image_pipeline, and a warning if a registered network gets the wrong pixels."""

import warnings

import numpy as np
import pytest
from onnx import TensorProto, helper
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklearn_dl import DetectionScorer, ImageLoader, ImageResizer, OnnxScorer, PixelExtractor
from sklearn_dl.models import FolderSource, model_card, register_model
from sklearn_dl.models import _registry as registry
from sklearn_dl.scoring import image_pipeline
from tests.vision.detection.detectors import model

CARD = {"colors": "BGR", "offset": (1.0, 2.0, 3.0), "scale": 0.5}
IMAGES = [np.full((6, 10, 3), level, np.uint8) for level in ([30, 20, 10], [10, 20, 30])]


def graph(*, size=(None, None), last=None, layout="NCHW"):
    """Means of channels as `logits`, twice that as `features`; `last`: what makes `logits`."""
    shape = ["N", 3, *size] if layout == "NCHW" else ["N", *size, 3]
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["means"], axes=axes, keepdims=0),
        helper.make_node("Concat", ["means", "means"], ["features"], axis=1),
        helper.make_node(last or "Identity", ["means"], ["made"]),
        helper.make_node("Identity", ["made"], ["logits"]),
    ]
    outputs = {"features": 6, "logits": 3}
    return model(
        nodes,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["N", n]) for k, n in outputs.items()],
        [],
    )


@pytest.fixture
def register(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.setenv("SKLEARN_DL_HOME", str(tmp_path / "home"))

    def add(content=None, name="mine", **card):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.onnx").write_bytes(content or graph())
        card = {"pixels": CARD, "labels": ["blue", "green", "red"]} | card
        register_model(name, FolderSource(folder), file="model.onnx", **card)
        return name

    return add


def test_the_pipeline_has_five_steps_and_predicts(register):
    pipe = image_pipeline(register())
    assert list(pipe.named_steps) == [
        "imageloader",
        "imageresizer",
        "pixelextractor",
        "onnxscorer",
        "scoreclassifier",
    ]
    assert (pipe["imageresizer"].width, pipe["imageresizer"].height) == (224, 224)
    extractor = pipe["pixelextractor"]
    assert {name: getattr(extractor, name) for name in CARD} == CARD
    assert pipe.predict(IMAGES).tolist() == ["red", "blue"]
    # (10 - 1, 20 - 2, 30 - 3) / 2
    exponentials = np.exp([4.5, 9.0, 13.5])
    np.testing.assert_allclose(
        pipe.predict_proba(IMAGES)[0], exponentials / exponentials.sum(), rtol=1e-5
    )
    assert clone(pipe).fit(IMAGES, ["red", "blue"]).score(IMAGES, ["red", "blue"]) == 1.0


@pytest.mark.parametrize(
    ("outputs", "shape"),
    [("features", (2, 6)), (["logits", "features"], (2, 9))],
    ids=["one", "two"],
)
def test_outputs_that_are_asked_for(register, outputs, shape):
    pipe = image_pipeline(register(), outputs=outputs)
    assert pipe.transform(IMAGES).shape == shape
    assert list(pipe.named_steps)[-1] == "onnxscorer"


def test_without_labels_all_outputs(register):
    assert image_pipeline(register(labels=None)).transform(IMAGES).shape == (2, 9)


def test_probabilities_stay_as_they_are(register):
    pipe = image_pipeline(register(graph(last="Softmax")))
    exponentials = np.exp([4.5, 9.0, 13.5])
    expected = exponentials / exponentials.sum()
    np.testing.assert_allclose(pipe.predict_proba(IMAGES)[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "options", "size"),
    [
        ({"size": (32, 48)}, {}, (48, 32)),
        ({"size": (32, 48), "layout": "NHWC"}, {}, (48, 32)),
        ({}, {"image_size": 64}, (64, 64)),
        ({}, {"image_size": (40, 20)}, (40, 20)),
        ({}, {"image_size": [40, np.int64(20)]}, (40, 20)),
    ],
    ids=["of the graph", "of a graph in NHWC", "one integer", "width and height", "list of two"],
)
def test_sizes(register, content, options, size):
    card = {"pixels": CARD | {"layout": content.get("layout", "NCHW")}}
    pipe = image_pipeline(register(graph(**content), **card), **options)
    assert (pipe["imageresizer"].width, pipe["imageresizer"].height) == size
    assert pipe.predict(IMAGES).tolist() == ["red", "blue"]


def test_root_is_the_folder_of_the_images(register, tmp_path):
    pipe = image_pipeline(register(), root=tmp_path)
    with pytest.raises(ValueError, match="leaves the folder root="):
        pipe.predict(["../other.png"])


def test_names_and_labels_that_are_refused(register, tmp_path, monkeypatch):
    register()
    with pytest.raises(ValueError, match=r"'nothing' is not a registered model; .*'mine'"):
        image_pipeline("nothing")
    with pytest.raises(ValueError, match="all-minilm-l6-v2' does not say how pixels are made"):
        image_pipeline("all-minilm-l6-v2")
    name = register(name="two", labels=list("abcdefg"))
    with pytest.raises(ValueError, match=r"'two' has 7 labels, .* 7 values per row, but 0 have"):
        image_pipeline(name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="model='mine' is also a file or folder here"):
        image_pipeline("mine")


@pytest.mark.parametrize(
    "image_size",
    [[1, 2, 3], (8,), (), 0, (8, -1), 8.0, "8", "88", (8, None), np.array([8, 8])],
    ids=repr,
)
def test_image_sizes_that_are_refused(register, image_size):
    with pytest.raises(ValueError, match=r"^image_size=.* must be an int or \(width, height"):
        image_pipeline(register(), image_size=image_size)


@pytest.mark.parametrize(
    "shapes",
    [{"image": ["N", 3, 8, 8], "size": ["N", 2]}, {"image": ["N", 192]}, {"image": ["N"]}, {}],
    ids=["two inputs", "rows", "one number a row", "no input"],
)
def test_graphs_whose_inputs_are_not_one_image(register, shapes):
    inputs = [helper.make_tensor_value_info(k, TensorProto.FLOAT, s) for k, s in shapes.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in shapes]
    outputs = [
        helper.make_tensor_value_info(f"{k}_out", TensorProto.FLOAT, s) for k, s in shapes.items()
    ]
    if not shapes:
        value = helper.make_tensor("value", TensorProto.FLOAT, [1, 3], [1.0, 2.0, 3.0])
        nodes = [helper.make_node("Constant", [], ["y"], value=value)]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])]
    name = register(model(nodes, inputs, outputs, []))
    for size in (None, 8):
        with pytest.raises(
            ValueError, match="graphs with one input, which takes images; the inputs of 'mine' are "
        ):
            image_pipeline(name, image_size=size)


@pytest.mark.parametrize(
    "name", ["x" * 10**6, b"x" * 10**6, ["x" * 10**6]], ids=["str", "bytes", "list"]
)
def test_a_long_wrong_name_is_not_repeated_in_the_error(name):
    with pytest.raises(ValueError, match="is not a registered model") as raised:
        image_pipeline(name)
    assert len(str(raised.value)) < 2000
    assert "x" * 1000 not in str(raised.value)


@pytest.mark.slow
@pytest.mark.real
def test_the_packaged_network():
    import sklearn.datasets

    images = sklearn.datasets.load_sample_images().images
    assert image_pipeline("efficientnet-lite0").predict(images).tolist() == ["palace", "daisy"]
    pipe = make_pipeline(
        ImageLoader(),
        ImageResizer(224, 224),
        PixelExtractor(),
        OnnxScorer("efficientnet-lite0", outputs="logits"),
    )
    with pytest.warns(UserWarning, match=r"image_pipeline\('efficientnet-lite0'\)"):
        pipe.transform(images)


# --- the warning


def score_with_pixels(name, **settings):
    steps = ImageLoader(), ImageResizer(8, 8), PixelExtractor(**settings), OnnxScorer(name)
    return make_pipeline(*steps).fit(IMAGES).transform(IMAGES)


@pytest.mark.parametrize(
    "other",
    [
        {"colors": "RGB"},
        {"offset": 0.0},
        {"offset": (1.0, 2.0, 3.5)},
        {"scale": 1.0},
        {"scale": (0.5, 0.5, -0.5)},
        {"scale": 0.501},
    ],
    ids=str,
)
def test_other_pixels_than_the_card_says(register, other):
    name = register()
    message = (
        r"^'mine' gets pixels that differ from its card, .* It gets colors='(RGB|BGR)', .*; the "
        r"card says colors='BGR', layout='NCHW', offset=\[1.0, 2.0, 3.0\], scale=0.5\. .*"
        r"sklearn_dl\.scoring\.image_pipeline\('mine'\)"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        score_with_pixels(name, **CARD | other)
    assert len(caught) == 1  # fit and transform


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"scale": 1 / 1.9999999},
        {"scale": [0.5] * 3},
        {"dtype": "float16"},
        {"offset": [1, 2, 3]},
    ],
    ids=str,
)
def test_the_same_pixels(register, same):
    name = register()
    score_with_pixels(name, **CARD | same)


@pytest.mark.parametrize("pixels", [None, {"mean": 3}], ids=str)
def test_a_card_that_says_nothing(register, pixels):
    score_with_pixels(register(pixels=pixels))


def test_a_card_of_defaults(register):
    name = register(pixels={})
    score_with_pixels(name)
    with pytest.warns(UserWarning, match="pixels that differ from its card"):
        score_with_pixels(name, offset=127)


def test_files_and_bytes_have_no_card(register, tmp_path):
    register()
    score_with_pixels(tmp_path / "mine" / "model.onnx")
    score_with_pixels(graph())


def test_an_embedded_model_is_still_registered(register):
    import pickle

    scorer = pickle.loads(pickle.dumps(OnnxScorer(register())))
    pixels = make_pipeline(ImageLoader(), PixelExtractor()).transform(IMAGES)
    with pytest.warns(UserWarning, match="pixels that differ from its card"):
        scorer.transform(pixels)


def test_images_that_the_scorer_makes_pixels_of(register):
    scorer = OnnxScorer(register(), pixels={"image": PixelExtractor()})
    with pytest.warns(UserWarning, match="pixels that differ from its card"):
        scorer.transform(ImageLoader().transform(IMAGES))


def test_a_detector_warns_of_other_pixels(register):
    def decode(outputs, geometry):
        return [[0, 0, 1, 1]], [1.0], [0]

    name = register(graph(size=(8, 8)))
    detector = DetectionScorer(name, format=decode)
    with pytest.warns(UserWarning, match="pixels that differ from its card"):
        detector.predict(IMAGES)
    detector.set_params(**{key: list(v) if key == "offset" else v for key, v in CARD.items()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.predict(IMAGES)


def test_the_card_is_what_the_packaged_network_wants():
    assert model_card("efficientnet-lite0").pixels == {"offset": 127.0, "scale": 1 / 128}
