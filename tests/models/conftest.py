import pytest

from sklearn_dl.models import _cache, _registry


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache; models registered by a test are forgotten after it."""
    monkeypatch.setenv("SKLEARN_DL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(_registry, "_entries", dict(_registry._entries))
    monkeypatch.setattr(_cache, "_seen", {})
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path):
    """A model of two files."""
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"weights" * 1000)
    (folder / "sub" / "config.json").write_bytes(b"{}")
    return folder


@pytest.fixture(scope="session")
def real_home(tmp_path_factory):
    """A cache that all tests on real weights share: the export takes ten seconds."""
    return tmp_path_factory.mktemp("real_home")


@pytest.fixture
def use_real_home(real_home, monkeypatch):
    monkeypatch.setenv("SKLEARN_DL_HOME", str(real_home))
    return real_home


@pytest.fixture
def client_without_waits(monkeypatch):
    """The hub's client does not wait between its attempts; its connections are closed after it."""
    hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    yield
    hub.close_session()
