"""Folders of image classifiers that try to read other files, run code or exhaust memory."""

import json
import pickle

import numpy as np
import pytest
import torch
import transformers
from numpy.testing import assert_array_equal
from safetensors.torch import load_file, save_file

from sklearn_dl import ImageClassifier, ObjectDetector, clear_sessions
from sklearn_dl.metrics import make_detections
from sklearn_dl.models._folder import find_folder
from sklearn_dl.vision._backbone import find_backbone
from sklearn_dl.vision._folder_network import folder_network
from tests.models.hostile_folders import change, in_cache, traps
from tests.vision.backbones import FOLDERS, SIZE, tiny_folder


@pytest.fixture
def folder(tmp_path):
    return tiny_folder(tmp_path / "model")


def features(folder, weights=True):
    pixels = torch.linspace(-1, 1, 2 * 3 * SIZE * SIZE).reshape(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        return folder_network(find_folder(folder), weights).eval().features(pixels).numpy()


def test_how_to_compute_is_cleared(tmp_path, monkeypatch):
    folder = tiny_folder(tmp_path / "vit", "vit")
    expected = features(folder)
    hostile = dict.fromkeys(("attn_implementation", "_attn_implementation"), "org/repo:function")
    change(
        folder / "config.json",
        **hostile,
        attribute_map={"x": "_attn_implementation_internal"},
        x="org/repo",
        torch_dtype="no_such_type",
        auto_map={"AutoModelForImageClassification": "code.Model"},
    )
    with traps(monkeypatch):
        assert_array_equal(features(folder), expected)


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        ({"quantization_config": {"quant_method": "quanto"}}, "quantization_config is refused"),
        ({"use_timm_backbone": True}, "use_timm_backbone is refused"),
        ({"backbone": "resnet50", "use_pretrained_backbone": True}, "backbone is refused"),
        ({"backbone_config": {"use_pretrained_backbone": True}}, "use_pretrained_backbone is ref"),
        ({"model_type": "timm_wrapper"}, "'timm_wrapper' is refused"),
        ({"model_type": "timm_backbone"}, "'timm_backbone' is refused"),
        (
            {"model_type": "shieldgemma2", "vision_config": {"model_type": "timm_wrapper"}},
            "'timm_wrapper' of vision_config is refused",
        ),
        ({"model_type": "detr"}, "'detr' is not an image classifier"),
    ],
)
@pytest.mark.parametrize("weights", [True, False])
def test_what_fetches_or_imports_is_refused(folder, hostile, message, weights, monkeypatch):
    change(folder / "config.json", **hostile)
    with (
        traps(monkeypatch),
        pytest.raises(ValueError, match=f"^model folder {folder}: .*{message}"),
    ):
        features(folder, weights)


@pytest.mark.parametrize("layers", [0, 1])
def test_a_detector_refuses_it_too(folder, layers, monkeypatch):
    change(folder / "config.json", use_timm_backbone=True)
    images = [np.zeros((32, 32, 3), np.uint8)]
    detector = ObjectDetector(folder, image_size=32, trainable_layers=layers, max_epochs=1)
    with traps(monkeypatch), pytest.raises(ValueError, match="use_timm_backbone is refused"):
        detector.fit(images, [make_detections([[0, 0, 9, 9]], ["square"])])


def test_a_config_of_timm_is_refused(folder, monkeypatch):
    asked = {"architecture": "hf-hub:org/repo", "pretrained_cfg": {"file": "/etc/passwd"}}
    (folder / "config.json").write_text(json.dumps(asked))
    message = "does not know the model_type None"
    with traps(monkeypatch, "/etc/passwd"), pytest.raises(ValueError, match=message):
        features(folder)


@pytest.mark.parametrize(
    ("kind", "claim"),
    [
        ("resnet", {"depths": [1, 10**9]}),
        ("resnet", {"hidden_sizes": [8, 10**9]}),
        ("resnet", {"embedding_size": 10**12}),
        ("resnet", {"num_channels": 10**9}),
        ("resnet", {"num_labels": 10**9, "id2label": None}),
        ("vit", {"num_hidden_layers": 10_000_000}),
        ("vit", {"image_size": 10**7}),
        ("vit", {"hidden_size": 10**9, "num_attention_heads": 1}),
        ("vit", {"intermediate_size": 10**12}),
        ("convnext", {"depths": [10**9, 1]}),
        ("mobilenet_v2", {"depth_multiplier": 10**6}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
@pytest.mark.parametrize("weights", [True, False])
def test_sizes_that_the_weights_contradict(tmp_path, kind, claim, weights):
    resource = pytest.importorskip("resource")
    folder = tiny_folder(tmp_path / kind, kind)
    features(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    change(folder / "config.json", **claim)
    with pytest.raises(ValueError, match=r"config\.json"):
        folder_network(find_folder(folder), weights)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB


def test_layers_that_the_weights_lack(folder):
    change(folder / "config.json", depths=[1, 40])
    with pytest.raises(ValueError, match=r"lack \d+ of the network's tensors.*config\.json"):
        features(folder)


@pytest.mark.parametrize("claim", [{"image_size": 10**9}, {"image_size": 512, "patch_size": 1}])
def test_lists_of_all_pairs_of_pixels_are_not_made(tmp_path, claim):
    with torch.random.fork_rng([]):
        config = transformers.LevitConfig(
            image_size=64, hidden_sizes=[16, 16, 16], depths=[1, 1, 1], key_dim=[4, 4, 4]
        )
        network = transformers.LevitForImageClassification(config)
    config.save_pretrained(tmp_path)
    save_file(network.state_dict(), tmp_path / "model.safetensors", metadata={"format": "pt"})
    folder_network(find_folder(tmp_path))
    change(tmp_path / "config.json", **claim)
    with pytest.raises(ValueError, match="LeViT may have at most 32 x 32"):
        folder_network(find_folder(tmp_path))


@pytest.mark.parametrize("damage", ["missing", "other size"])
def test_the_classifier_may_be_missing_or_of_another_size(folder, damage):
    expected = features(folder)
    state = load_file(folder / "model.safetensors")
    names = [name for name in state if name.startswith("classifier")]
    assert names
    for name in names:
        if damage == "missing":
            del state[name]
        else:
            state[name] = state[name][:3].clone()
    save_file(state, folder / "model.safetensors")
    assert_array_equal(features(folder), expected)


@pytest.mark.parametrize("kind", FOLDERS)
def test_without_weights_the_network_is_of_the_same_tensors(tmp_path, kind):
    content = find_folder(tiny_folder(tmp_path / kind, kind))
    whole = folder_network(content).state_dict()
    bare = folder_network(content, weights=False).state_dict()
    assert {k: t.shape for k, t in whole.items()} == {k: t.shape for k, t in bare.items()}
    assert all(tensor.device.type == "cpu" for tensor in bare.values())


SIGLIP = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
VISION = SIGLIP | {"image_size": SIZE, "patch_size": 8}


@pytest.mark.parametrize("family", ["siglip", "clip"])
def test_networks_of_two_parts(tmp_path, family, monkeypatch):
    model_class = {
        "siglip": transformers.SiglipForImageClassification,
        "clip": transformers.CLIPForImageClassification,
    }[family]
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        text = SIGLIP | {"vocab_size": 100, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
        config = model_class.config_class(text_config=text, vision_config=VISION, num_labels=7)
        network = model_class(config).eval()
    config.save_pretrained(tmp_path)
    save_file(network.state_dict(), tmp_path / "model.safetensors", metadata={"format": "pt"})
    expected = features(tmp_path)
    asked = json.loads((tmp_path / "config.json").read_text())
    asked["vision_config"] |= {"_attn_implementation": "org/repo", "dtype": "x", "to_dict": 3}
    asked["text_config"] |= {"attn_implementation": "flash_attention_2", "quantization_config": {}}
    change(tmp_path / "config.json", **asked)
    with traps(monkeypatch):
        assert_array_equal(features(tmp_path), expected)
    asked["vision_config"]["num_hidden_layers"] = 10**9
    change(tmp_path / "config.json", **asked)
    with pytest.raises(ValueError, match="claims num_hidden_layers=1000000000, but the weights"):
        features(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        "[" * 100_000,
        "[]",
        '{"image_mean": 3, "image_std": 3}',
        '{"rescale_factor": 0}',
        '{"image_mean": [1' + "0" * 4000 + '], "image_std": [1]}',
        '{"image_mean": [1, 1, 1], "image_std": [0, 0, 0]}',
        "\xff",
    ],
)
def test_a_damaged_preprocessor_is_named(tmp_path, damage):
    folder = tiny_folder(tmp_path / "model", preprocessor=damage)
    with pytest.raises(ValueError, match=r"preprocessor_config\.json cannot be used"):
        find_backbone(folder)


def test_the_cache_of_hugging_face_fits_and_pickles(folder, tmp_path, data, params):
    cached = in_cache(folder, tmp_path / "cache")
    expected = ImageClassifier(folder, **params).fit(*data).predict_proba(data[0])
    clf = ImageClassifier(cached, **params).fit(*data)
    assert_array_equal(clf.predict_proba(data[0]), expected)
    pickled = pickle.dumps(clf)
    clear_sessions()
    np.testing.assert_allclose(pickle.loads(pickled).predict_proba(data[0]), expected, atol=1e-6)
