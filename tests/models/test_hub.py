"""The hub's client against a server of this machine that speaks enough of its protocol."""

import hashlib
import logging
import socket
import subprocess
import sys

import pytest

from sklearn_dl.models import (
    HubSource,
    HubUnreachableError,
    ModelNotAvailableError,
    model_card,
    model_path,
    register_model,
)
from tests.models.hub_server import COMMIT, hub_server

hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")

FILES = {"config.json": b"{}", "onnx/model.onnx": b"graph" * 1000}
pytestmark = pytest.mark.usefixtures("client_without_waits")
SHA256 = {file: hashlib.sha256(content).hexdigest() for file, content in FILES.items()}


@pytest.fixture
def server():
    with hub_server(FILES) as server:
        yield server


def register(url, **arguments):
    source = HubSource("me/mine", COMMIT, endpoint=url)
    register_model("mine", source, sha256={**SHA256, **arguments})


def nothing_cached(home):
    return [path.suffix for path in (home / "models" / "mine").iterdir()] == [".lock"]


def test_files_are_downloaded_once(server, capfd, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    telemetry = constants.HF_HUB_DISABLE_TELEMETRY
    register(server.url)
    path = model_path("mine", download=True)
    for file, content in FILES.items():
        assert (path / file).read_bytes() == content
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*"))
    assert names == ["config.json", "manifest.json", "onnx", "onnx/model.onnx"]
    assert all(f"/me/mine/resolve/{COMMIT}/" in path for _, path, _ in server.requests)
    # the token is for the default hub only
    assert not any("authorization" in headers for _, _, headers in server.requests)
    assert not any("torch" in headers["user-agent"] for _, _, headers in server.requests)
    assert constants.HF_HUB_DISABLE_TELEMETRY is telemetry
    assert not hub.utils.are_progress_bars_disabled()
    assert capfd.readouterr() == ("", "")
    assert model_card("mine").source == f"hub repository me/mine@{COMMIT}"
    # what is there needs no hub
    count = len(server.requests)
    assert model_path("mine") == model_path("mine", download=True) == path
    assert len(server.requests) == count


def test_verbose_shows_a_bar_for_each_file(server, capfd, monkeypatch):
    monkeypatch.setenv("TQDM_POSITION", "-1")  # bars are drawn although this is not a terminal
    register(server.url)
    model_path("mine", download=True, verbose=1)
    out, err = capfd.readouterr()
    assert out == ""
    assert all(file.split("/")[-1] in err for file in FILES)


def test_nothing_is_downloaded_by_default(server, home, monkeypatch):
    def connect(*args):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)
    register(server.url)
    with pytest.raises(
        ModelNotAvailableError,
        match=rf"'mine' is not on this machine: .*download=True\) downloads it from .*{COMMIT}",
    ):
        model_path("mine")
    assert not server.requests
    assert not home.exists()


def test_a_damaged_copy_is_downloaded_again_if_the_user_asks(server):
    register(server.url)
    path = model_path("mine", download=True)
    (path / "config.json").write_bytes(b"[]")
    with pytest.raises(ModelNotAvailableError, match=r"'mine' is damaged: .*download=True"):
        model_path("mine")
    assert (model_path("mine", download=True) / "config.json").read_bytes() == b"{}"


def test_a_file_of_other_content_is_refused(server, home):
    server.files["onnx/model.onnx"] = b"other"
    register(server.url)
    with pytest.raises(ValueError, match=r"wrong hash: onnx/model\.onnx of the hub .*expected"):
        model_path("mine", download=True)
    assert nothing_cached(home)


def test_a_file_that_is_cut_is_refused(server, home):
    server.short = True
    register(server.url)
    with pytest.raises(HubUnreachableError, match="should be of size"):
        model_path("mine", download=True)
    assert nothing_cached(home)


def test_a_download_that_is_cut_once_is_resumed(server, caplog):
    server.cuts = 1
    register(server.url)
    with caplog.at_level(logging.ERROR):
        path = model_path("mine", download=True)
    assert (path / "onnx/model.onnx").read_bytes() == FILES["onnx/model.onnx"]


def test_a_server_that_does_not_answer(home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    register(url)
    with pytest.raises(
        HubUnreachableError,
        match=rf"config\.json of hub repository me/mine@{COMMIT} could not .* {url}: check the con",
    ) as caught:
        model_path("mine", download=True)
    assert isinstance(caught.value, ModelNotAvailableError)
    assert isinstance(caught.value, OSError)
    assert nothing_cached(home)


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails(server, home, status):
    server.status = status
    register(server.url)
    with pytest.raises(HubUnreachableError, match="could not be downloaded"):
        model_path("mine", download=True)
    assert nothing_cached(home)


def test_a_file_that_the_hub_does_not_have(server, home):
    register(server.url, **{"none.bin": "a" * 64})
    with pytest.raises(ModelNotAvailableError, match=r"refuses none\.bin of hub") as caught:
        model_path("mine", download=True)
    assert not isinstance(caught.value, HubUnreachableError)
    assert nothing_cached(home)


# in this process the client's settings are already read, so they are set where it keeps them


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """The folder that the client would cache files in, if it were not told another."""
    folder = tmp_path / "hf"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    return folder


def test_a_source_without_an_endpoint_is_fetched_from_the_default_hub(
    server, hub_cache, monkeypatch
):
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    register(None)
    path = model_path("mine", download=True)
    assert (path / "onnx/model.onnx").read_bytes() == FILES["onnx/model.onnx"]
    tokens = {headers.get("authorization") for _, _, headers in server.requests}
    assert tokens == {"Bearer hf_secret"}
    assert not hub_cache.exists()


def test_an_offline_client_says_that_it_is_unreachable(server, home, hub_cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    register(server.url)
    with pytest.raises(HubUnreachableError, match="HF_HUB_OFFLINE"):
        model_path("mine", download=True)
    assert not server.requests
    assert nothing_cached(home)
    assert not hub_cache.exists()


DOWNLOAD = f"""
from sklearn_dl.models import HubSource, HubUnreachableError, model_path, register_model
register_model("mine", HubSource("me/mine", {COMMIT!r}), sha256={SHA256!r})
try:
    print(model_path("mine", download=True))
except HubUnreachableError as error:
    print("unreachable", error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("offline", ["0", "1"])
def test_environment_of_another_process(server, home, tmp_path, monkeypatch, offline):
    """The hub's client reads its variables when it is imported."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    done = subprocess.run(
        [sys.executable, "-c", DOWNLOAD], capture_output=True, text=True, check=True
    )
    if offline == "1":
        assert done.stdout.startswith("unreachable")
        assert not server.requests
    else:
        assert done.stdout.startswith(str(home))
    assert done.stderr == ""
    assert not (tmp_path / "hf").exists()
