"""Exported image estimators and pipelines give the same results; `to_onnx` compares them."""

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dl import (
    ImageClassifier,
    ImageLoader,
    ImageRegressor,
    ImageResizer,
    OnnxScorer,
    PixelExtractor,
    ScoreClassifier,
)
from sklearn_dl.export import to_onnx
from sklearn_dl.scoring import image_pipeline
from sklearn_dl.utils._columns import object_array
from tests.scoring.onnx_graphs import model, node
from tests.vision.backbones import (
    SIZE,
    colored_images,
    mean_color_graph,
    tiny_folder,
    versioned_module,
)

IMAGES, COLORS = colored_images(12)
MIXED = [np.asarray(Image.fromarray(i).resize((20 + k, 33 - k))) for k, i in enumerate(IMAGES)]
SMALL = {"image_size": SIZE, "max_epochs": 1, "batch_size": 4, "random_state": 0}


@pytest.fixture(scope="module")
def colors(tmp_path_factory):
    path = tmp_path_factory.mktemp("backbones") / "colors.onnx"
    path.write_bytes(mean_color_graph())
    return str(path)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    return str(tiny_folder(tmp_path_factory.mktemp("backbones") / "resnet"))


def run(made, feeds):
    session = ort.InferenceSession(made.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.slow
def test_from_pixels_to_a_label(colors):
    clf = ImageClassifier(colors, image_size=SIZE, C=100.0).fit(IMAGES, COLORS)
    made = to_onnx(clf, MIXED)
    (image,) = made.graph.input
    assert image.name == "image"
    for one in MIXED:
        results = run(made, {"image": one[None]})
        assert results["label"].tolist() == clf.predict([one]).tolist()
        assert np.abs(results["probabilities"] - clf.predict_proba([one])).max() < 6e-3


@pytest.mark.slow
@pytest.mark.parametrize("layers", [0, "all", 1])
@pytest.mark.parametrize("make", ["folder", "module"])
def test_torch_networks(resnet, make, layers):
    network = resnet if make == "folder" else versioned_module
    clf = ImageClassifier(network, trainable_layers=layers, **SMALL).fit(IMAGES, COLORS)
    to_onnx(clf, MIXED)


@pytest.mark.slow
def test_several_labels_and_numbers(resnet, colors):
    is_first = np.equal(COLORS, COLORS[0])
    labels = np.column_stack([is_first, ~is_first]).astype(int)
    to_onnx(ImageClassifier(colors, image_size=SIZE).fit(IMAGES, labels), MIXED)
    numbers = np.column_stack([np.arange(12.0), 100.0 * np.arange(12)])
    to_onnx(ImageRegressor(colors, image_size=SIZE).fit(IMAGES, numbers), MIXED)
    to_onnx(ImageRegressor(resnet, **SMALL).fit(IMAGES, numbers[:, 0]), MIXED)


def test_the_steps_of_a_pipeline(colors):
    pipe = make_pipeline(
        ImageLoader(),
        ImageResizer(SIZE, SIZE, resample="bicubic", resize_mode="pad"),
        PixelExtractor(scale=1 / 255),
        OnnxScorer(colors),
        ScoreClassifier(["r", "g", "b"], activation="softmax"),
    ).fit(IMAGES, COLORS)
    results = run(to_onnx(pipe, MIXED), {"image": np.stack(IMAGES)})
    assert results["label"].tolist() == pipe.predict(IMAGES).tolist()


def test_a_pipeline_that_was_fitted_on_paths(colors, tmp_path):
    paths = [str(tmp_path / f"{row}.png") for row in range(12)]
    for path, image in zip(paths, MIXED, strict=True):
        Image.fromarray(image).save(path)
    pipe = make_pipeline(
        ImageLoader(),
        ImageResizer(SIZE, SIZE),
        PixelExtractor(),
        OnnxScorer(colors),
        StandardScaler(),
        PCA(2),
        LogisticRegression(),
    ).fit(paths, COLORS)
    assert [v.name for v in to_onnx(pipe, MIXED).graph.input] == ["image"]
    with pytest.raises(ValueError, match=r"cannot be exported.*uint8 arrays"):
        to_onnx(pipe, paths)


def test_flat_pixels(colors):
    pipe = make_pipeline(
        ImageLoader(colors="L"),
        ImageResizer(8, 8),
        PixelExtractor(colors="L", layout="flat"),
        LogisticRegression(max_iter=1000),
    ).fit(IMAGES, COLORS)
    to_onnx(pipe, MIXED)


def test_images_beside_numbers(colors):
    frame = pd.DataFrame({"photo": object_array(IMAGES), "weight": np.arange(12.0)})
    features = make_pipeline(
        ImageLoader(), ImageResizer(SIZE, SIZE), PixelExtractor(), OnnxScorer(colors)
    )
    pipe = make_pipeline(
        make_column_transformer((features, ["photo"]), (StandardScaler(), ["weight"])),
        LogisticRegression(),
    )
    search = GridSearchCV(pipe, {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(frame, COLORS)
    made = to_onnx(search, frame)
    assert [value.name for value in made.graph.input] == ["photo", "weight"]


def test_a_scorer_of_images_and_numbers():
    graph = model(
        [
            node("ReduceMean", ["image"], ["means"], axes=[2, 3], keepdims=0),
            node("Mul", ["means", "weight"], ["y"]),
        ],
        {"image": (np.float32, ["N", 3, SIZE, SIZE]), "weight": (np.float32, ["N", 1])},
        {"y": (np.float32, ["N", 3])},
    )
    frame = pd.DataFrame({"photo": object_array(MIXED), "weight": np.arange(12.0)})
    pipe = make_pipeline(
        make_column_transformer(
            (make_pipeline(ImageLoader(), ImageResizer(SIZE, SIZE)), ["photo"]),
            ("passthrough", ["weight"]),
        ),
        OnnxScorer(
            graph, inputs={"image": 0, "weight": 1}, pixels={"image": PixelExtractor(scale=0.1)}
        ),
    )
    to_onnx(pipe.fit(frame), frame)


def test_a_sample_is_made_up(colors):
    clf = ImageClassifier(colors, image_size=SIZE).fit(IMAGES, COLORS)
    assert to_onnx(clf).SerializeToString() == to_onnx(clf, MIXED).SerializeToString()


def test_fast_resizing_warns_of_the_difference():
    noise = [
        np.random.default_rng(k).integers(256, size=(90, 70, 3), dtype=np.uint8) for k in range(3)
    ]
    pipe = make_pipeline(
        ImageLoader(), ImageResizer(SIZE, SIZE), PixelExtractor(scale=1 / 255, layout="flat")
    ).fit(noise)
    to_onnx(pipe, noise)
    with pytest.warns(UserWarning, match=r'resize="fast".* more than 0\.006: row \d .* differs by'):
        to_onnx(pipe, noise, resize="fast")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (ImageLoader(on_error="nan"), r'Pipeline > ImageLoader \(.*on_error="nan"'),
        (ImageResizer(8, 8, resample="mlnet"), 'ImageResizer .*resample="mlnet" has no'),
    ],
)
def test_what_cannot_be_in_a_file_is_refused_by_name(step, message):
    steps = [step] if isinstance(step, ImageLoader) else [ImageLoader(), step]
    with pytest.raises(ValueError, match=message):
        to_onnx(make_pipeline(*steps, PixelExtractor(layout="flat")).fit(IMAGES), IMAGES)


def test_two_columns_of_images_have_sizes_of_their_own():
    wide = [np.repeat(np.repeat(image, 3, axis=0), 5, axis=1) for image in IMAGES[:3]]
    frame = pd.DataFrame({"a": object_array(IMAGES[:3]), "b": object_array(wide)})
    steps = make_pipeline(
        ImageLoader(colors="RGBA"), ImageResizer(8, 8), PixelExtractor(layout="flat")
    )
    made = to_onnx(make_column_transformer((steps, ["a"]), (steps, ["b"])).fit(frame), frame)
    session = ort.InferenceSession(made.SerializeToString())
    # ONNX Runtime keeps the buffers of the first run
    (one,) = session.run(None, {"a": np.stack(IMAGES[:3]), "b": np.stack(wide)})
    (other,) = session.run(None, {"a": np.stack(wide), "b": np.stack(IMAGES[:3])})
    assert np.array_equal(np.hstack(np.split(one, 2, axis=1)[::-1]), other)


@pytest.mark.parametrize("output", ["default", "pandas"])
@pytest.mark.parametrize("steps", [[ImageLoader()], [ImageLoader(colors="L"), ImageResizer(8, 9)]])
def test_a_file_that_ends_with_images(steps, output):
    pipe = make_pipeline(*steps).set_output(transform=output).fit(MIXED)
    results = run(to_onnx(pipe, MIXED), {"image": MIXED[3][None]})
    expected = np.asarray(ImageLoader().transform([MIXED[3]])[0, 0])
    if len(steps) == 1:
        assert np.array_equal(results["images"][0], expected)
    else:
        assert results["images"].shape == (1, 9, 8, 1)


def test_grey_images_in_one_array(colors):
    grey = np.stack(IMAGES)[..., 0]
    clf = ImageClassifier(colors, image_size=SIZE).fit(grey, COLORS)
    made = to_onnx(clf, grey)
    (image,) = made.graph.input
    assert image.type.tensor_type.shape.dim[3].dim_value == 1
    results = run(made, {"image": grey[..., None]})
    assert results["label"].tolist() == clf.predict(grey).tolist()


@pytest.mark.parametrize("sample", [["a.png", "b.png"], [b"GIF89a"], [1.0, 2.0]])
def test_a_sample_without_images(colors, sample):
    clf = ImageClassifier(colors, image_size=SIZE).fit(IMAGES, COLORS)
    with pytest.raises(ValueError, match=r"ImageClassifier cannot be exported.*uint8 arrays"):
        to_onnx(clf, sample)


@pytest.mark.slow
@pytest.mark.real
def test_real_images():
    data = pytest.importorskip("skimage.data")
    images = [data.cat(), data.coffee(), data.astronaut(), data.rocket()]
    pipe = image_pipeline("efficientnet-lite0")
    made = to_onnx(pipe, images)
    for weights in ("float16", "int8"):
        small = to_onnx(pipe, images, weights=weights)
        assert small.ByteSize() < made.ByteSize() * {"float16": 0.51, "int8": 0.3}[weights]
        labels = [run(small, {"image": one[None]})["label"][0] for one in images]
        assert labels == pipe.predict(images).tolist()
