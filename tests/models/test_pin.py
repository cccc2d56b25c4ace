"""Models of a hub that are found by their names: in the hub's cache, and pinned."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor

from sklearn_dl import OnnxScorer, TensorFlowScorer, TextClassifier, TextEncoder, clear_sessions
from sklearn_dl.models import (
    FolderSource,
    HubUnreachableError,
    ModelNotAvailableError,
    list_models,
    model_card,
    model_path,
    pin,
    register_model,
)
from sklearn_dl.models._find import hub_snapshot
from tests.models.hub_server import COMMIT, git_hash, hub_server
from tests.scoring.onnx_graphs import two_layers
from tests.scoring.tensorflow_models import affine
from tests.text.tiny_encoders import tiny_bert

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.usefixtures("client_without_waits")
TEXTS = ["a good film", "the old house"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("pin") / "bert")


def vectors(model, **params):
    return TextEncoder(str(model), max_length=16, precision="float32", **params).transform(TEXTS)


# --- the hub's cache


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(hub_cache, name, folder, commit=COMMIT):
    """Lay a model out as the hub's client does."""
    repository = hub_cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    (repository / "blobs").mkdir(parents=True, exist_ok=True)
    snapshot.mkdir(parents=True)
    for path in Path(folder).iterdir():
        blob = repository / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit)


@pytest.fixture
def no_network(monkeypatch):
    def connect(*args):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["owner/name", "bert-base-uncased"])
def test_a_repository_in_the_cache_of_the_hub_is_found_by_its_name(hub_cache, bert, name):
    put(hub_cache, name, bert)
    np.testing.assert_array_equal(vectors(name), vectors(bert))
    clf = TextClassifier(name, max_length=16, trainable_layers=0).fit(TEXTS, [0, 1])
    assert clf.predict(TEXTS).tolist() == [0, 1]


def test_main_that_has_moved_since_the_fit_is_an_error(hub_cache, bert, tmp_path):
    put(hub_cache, "owner/name", bert)
    encoder = TextEncoder("owner/name", max_length=16).fit(TEXTS)
    encoder.transform(TEXTS)
    put(hub_cache, "owner/name", tiny_bert(tmp_path / "other", seed=1), commit="f" * 40)
    clear_sessions()
    with pytest.raises(ValueError, match="'owner/name' has changed since this estimator was fit"):
        encoder.transform(TEXTS)
    encoder.fit(TEXTS).transform(TEXTS)


@pytest.mark.parametrize(
    "name",
    ["owner/other", "../name", "owner/../name", "owner//name", "a/b/c", "owner/name\n", "", "."],
)
def test_names_that_are_in_no_cache(hub_cache, bert, name):
    put(hub_cache, "owner/name", bert)
    assert hub_snapshot(name) is None
    with pytest.raises((FileNotFoundError, ValueError)):
        TextEncoder(name).transform(TEXTS)


@pytest.mark.parametrize("main", ["", "main", "../../elsewhere", "0" * 40, "\udce9"])
def test_a_damaged_cache(hub_cache, bert, main):
    put(hub_cache, "owner/name", bert)
    path = hub_cache / "models--owner--name" / "refs" / "main"
    path.write_bytes(main.encode(errors="surrogateescape"))
    with pytest.raises(FileNotFoundError, match="neither a folder nor a registered model"):
        vectors("owner/name")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/b"}, "/b"),
        ({"HF_HOME": "/c"}, "/c/hub"),
        ({"XDG_CACHE_HOME": "/d"}, "/d/huggingface/hub"),
        ({}, "~/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_client_of_the_hub_has_it(monkeypatch, variables, folder):
    names = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
    environment = {k: v for k, v in os.environ.items() if k not in names} | variables
    code = (
        "from huggingface_hub.constants import HF_HUB_CACHE\n"
        "from sklearn_dl.models._find import _hub_cache\n"
        "print(HF_HUB_CACHE, _hub_cache(), sep='\\n')"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert out == [os.path.expanduser(folder)] * 2


def test_a_folder_of_hf_download_is_found_by_its_path(bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "local")
    metadata = folder / ".cache" / "huggingface" / "download" / "config.json.metadata"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(COMMIT)
    np.testing.assert_array_equal(vectors(folder), vectors(bert))


@pytest.mark.parametrize("name", ["owner/name", "bert-base-uncased", "resnet50"])
def test_a_name_that_may_be_a_repository_gets_the_hint(name):
    with pytest.raises(FileNotFoundError, match=rf"models\.pin\('{name}'\).*hf download {name}"):
        TextClassifier(name).fit(TEXTS, [0, 1])


@pytest.mark.parametrize("name", ["model.onnx", "./name", "/a/b", "a/b/c", "~/name", "a b"])
def test_a_path_gets_no_hint_of_the_hub(name):
    with pytest.raises(FileNotFoundError) as caught:
        OnnxScorer(name).transform([[0.0]])
    assert "hub" not in str(caught.value)


# --- pinned


def files_of(folder):
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


class Announced(bytes):
    """Content that the hub announces with a hash of another."""

    def __new__(cls, content, announced):
        made = super().__new__(cls, content)
        made.announced = announced
        return made


OTHERS = {
    "modeling.py": b"import os",
    "pytorch_model.bin": b"pickle" * 100,
    "onnx/model.onnx": two_layers().SerializeToString(),
    "original/config.json": b"{}",
    "README.md": b"# mine",
}


@pytest.fixture
def server(bert):
    with hub_server(files_of(bert) | OTHERS) as server:
        yield server


def test_a_pinned_model_is_found_without_a_network(server, bert, capfd, monkeypatch, request):
    monkeypatch.setenv("TQDM_POSITION", "-1")  # bars are drawn although this is not a terminal
    pin("me/mine", endpoint=server.url)
    printed, bar = capfd.readouterr()
    digest = hashlib.sha256((Path(bert) / "model.safetensors").read_bytes()).hexdigest()
    assert f"Pinned me/mine at commit {COMMIT}" in printed
    assert f"{digest}  model.safetensors" in printed
    assert "model.safetensors" in bar  # the progress
    assert "me/mine" in list_models()
    card = model_card("me/mine")
    assert card.source == f"hub repository me/mine@{COMMIT}"
    assert not {"modeling.py", "pytorch_model.bin", "onnx/model.onnx", "README.md"} & {*card.sha256}
    request.getfixturevalue("no_network")
    np.testing.assert_array_equal(vectors("me/mine"), vectors(bert))
    assert sorted([*card.sha256, "manifest.json"]) == sorted(files_of(model_path("me/mine")))


@pytest.fixture
def new_workers():
    """Workers that start in this test, with its environment variables, and end with it."""
    get_reusable_executor().shutdown(wait=True)
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.slow
@pytest.mark.usefixtures("new_workers")
def test_a_worker_of_joblib_finds_a_pinned_model(server, bert):
    pin("me/mine", endpoint=server.url)
    with joblib.parallel_config("loky", n_jobs=2):
        made = joblib.Parallel()(joblib.delayed(vectors)("me/mine") for _ in range(2))
    for one in made:
        np.testing.assert_allclose(one, vectors(bert), atol=1e-5)


def test_one_file_of_a_repository(server, tmp_path):
    server.files["onnx/model.onnx_data"] = b"weights"
    pin("me/mine", file="onnx/model.onnx", endpoint=server.url)
    assert sorted(model_card("me/mine").sha256) == ["onnx/model.onnx", "onnx/model.onnx_data"]
    assert OnnxScorer("me/mine").transform(np.ones((2, 3), np.float32)).shape == (2, 2)
    with pytest.raises(ModelNotAvailableError, match=r"has no file .none\.onnx.; it has"):
        pin("me/mine", file="none.onnx", endpoint=server.url)


def test_a_damaged_copy_is_not_used(server):
    pin("me/mine", endpoint=server.url)
    (model_path("me/mine") / "config.json").write_bytes(b"[]")
    with pytest.raises(ModelNotAvailableError, match=r"'me/mine' is damaged: .*download=True"):
        vectors("me/mine")


def test_what_the_hub_has_not_announced_is_not_pinned(server, home):
    server.announced["model.safetensors"] = "0" * 64
    with pytest.raises(ValueError, match=r"wrong hash: model\.safetensors .*Nothing was pin"):
        pin("me/mine", endpoint=server.url)
    assert "me/mine" not in list_models()
    assert [path.name for path in home.rglob("*")] == [".pin.lock"]


def test_small_files_are_those_that_the_hub_has_announced(server):
    server.files["config.json"] = Announced(server.files["config.json"], git_hash(b"another"))
    with pytest.raises(ValueError, match=r"wrong hash: config\.json .*Nothing was pinned"):
        pin("me/mine", endpoint=server.url)


@pytest.mark.parametrize("name", ["../up.json", "/abs.json", "a/../../b.json"])
def test_names_that_lead_out_of_the_folder_are_refused(server, home, tmp_path, name):
    server.files[f"onnx/model.onnx_data/{name}"] = b"{}"
    before = set(tmp_path.iterdir())
    with pytest.raises(ValueError, match="not a relative path"):
        pin("me/mine", file="onnx/model.onnx", endpoint=server.url)
    assert set(tmp_path.iterdir()) - before <= {home}
    assert [path.name for path in home.iterdir()] == [".pin.lock"]


def test_what_a_killed_process_has_left_is_removed(server, home):
    left = home / ".pin.files.killed"
    left.mkdir(parents=True)
    pin("me/mine", endpoint=server.url)
    assert not left.exists()


@pytest.mark.parametrize("name", ["a/b/c", "../up", "", "a b"])
def test_a_name_that_is_no_repository_is_not_asked_for(server, name):
    with pytest.raises(ValueError, match="repo_id must look like"):
        pin(name, endpoint=server.url)
    assert not server.requests


def test_a_repository_without_safetensors(server):
    del server.files["model.safetensors"]
    with pytest.raises(ModelNotAvailableError, match=r"no model\.safetensors.*pytorch_model\.bin"):
        pin("me/mine", endpoint=server.url)


def test_a_repository_that_the_hub_does_not_have(server):
    with pytest.raises(ModelNotAvailableError, match=r"refuses the list of files of me/none@main"):
        pin("me/none", endpoint=server.url)


def test_no_network(home):
    with pytest.raises(HubUnreachableError, match="could not be downloaded from http://127"):
        pin("me/mine", endpoint="http://127.0.0.1:9")
    assert not home.exists()


def test_a_name_that_is_taken(server):
    with pytest.raises(ValueError, match="'all-minilm-l6-v2' is the name of a registered model"):
        pin("all-minilm-l6-v2", endpoint=server.url)


@pytest.mark.slow
def test_pinned_anew_at_another_content(server, tmp_path):
    pin("me/mine", endpoint=server.url)
    first = vectors("me/mine")
    server.files |= files_of(tiny_bert(tmp_path / "other", seed=1))
    pin("me/mine", endpoint=server.url)
    assert np.abs(vectors("me/mine") - first).max() > 0.1


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"a/b": 3}', '{"a/b": {"sha256": {}}}', "[" * 9999]
)
def test_a_damaged_list_of_pins_is_named(home, content):
    home.mkdir()
    (home / "pins.json").write_text(content)
    with pytest.raises(ValueError, match=r"pins\.json, which lists the pinned models, is damaged"):
        list_models()


def test_a_damaged_list_of_pins_is_found_before_a_download(server, home):
    home.mkdir()
    (home / "pins.json").write_text("{")
    with pytest.raises(ValueError, match=r"pins\.json, which lists the pinned models, is damaged"):
        pin("me/mine", endpoint=server.url)
    assert not server.requests


def test_pins_are_read_again_when_another_process_has_added_one(server, home):
    pin("me/mine", endpoint=server.url)
    facts = json.loads((home / "pins.json").read_text())
    (home / "pins.json").write_text(json.dumps(facts | {"you/yours": facts["me/mine"]}))
    assert {"me/mine", "you/yours"} <= set(list_models())


# --- registered


def test_every_scorer_takes_registered_names(tmp_path):
    saved_model = affine(tmp_path / "model", 2.0)
    register_model("doubles", FolderSource(saved_model))
    X = np.float32([[1, 2, 3]])
    np.testing.assert_array_equal(TensorFlowScorer("doubles").transform(X), 2 * X)
