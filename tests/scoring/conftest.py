import pytest

from sklearn_dl import clear_sessions
from sklearn_dl.runtimes.onnx import _graph as _onnx_graph


@pytest.fixture
def openings(monkeypatch):
    """A list that grows by one with every session that is opened, starting with none open."""
    opened = []
    real = _onnx_graph.open_session

    def counted(content, *args):
        opened.append(content.sha256)
        return real(content, *args)

    clear_sessions()
    monkeypatch.setattr(_onnx_graph, "open_session", counted)
    return opened
