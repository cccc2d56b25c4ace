"""The choice of the device; a network that is already there is not moved."""

import copy

import pytest
import torch

from sklearn_dl.runtimes.torch._device import resolve_device
from sklearn_dl.text import _windows
from sklearn_dl.text._fitted_text_network import FittedTextNetwork
from tests.training.reviews import LABELS, TEXTS


@pytest.fixture
def machine(monkeypatch):
    """A machine with these accelerators, as torch tells it."""

    def has(cuda=0, current=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: current)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return has


@pytest.mark.parametrize(
    ("found", "device", "expected"),
    [
        ({}, "auto", "cpu"),
        ({}, "cpu", "cpu"),
        ({}, "cpu:0", "cpu"),
        ({"cuda": 2}, "auto", "cuda:0"),
        ({"cuda": 2, "current": 1}, "auto", "cuda:1"),
        ({"cuda": 2, "current": 1}, "cuda", "cuda:1"),
        ({"cuda": 2}, "cuda:1", "cuda:1"),
        ({"cuda": 2}, "cpu", "cpu"),
        ({"mps": True}, "auto", "mps:0"),
        ({"mps": True}, "mps", "mps:0"),
        ({"cuda": 1, "mps": True}, "auto", "cuda:0"),
        ({"cuda": 2, "current": 1, "mps": True}, "mps", "mps:0"),
    ],
)
def test_a_device_is_named_as_tensors_there_name_it(machine, found, device, expected):
    machine(**found)
    resolved = resolve_device(device)
    assert resolved == torch.device(expected)
    assert resolved.type == "cpu" or resolved.index is not None


@pytest.mark.parametrize(
    ("found", "device", "message"),
    [
        ({}, "cuda", "is not available on this machine"),
        ({}, "mps", "is not available on this machine"),
        ({"cuda": 2}, "cuda:2", "is not available on this machine.*'cuda:0', 'cuda:1'"),
        ({"cuda": 2}, "meta", "is not available on this machine"),
        ({"cuda": 2}, "gpu", "is not the name of a device that torch knows"),
    ],
)
def test_devices_that_are_not_here(machine, found, device, message):
    machine(**found)
    with pytest.raises(ValueError, match=f"device={device!r}.*{message}"):
        resolve_device(device)


class Counted:
    """A network on a GPU that counts what is done to it."""

    def __init__(self, device="cpu"):
        self.where, self.moves, self.copies = torch.device(device), 0, 0

    def parameters(self):
        class Parameter:
            device = self.where

        yield Parameter

    def move_to(self, device):
        # as torch: a tensor on "cuda" says that it is on "cuda:0"
        kind = torch.device(device)
        self.where = kind if kind.type == "cpu" else torch.device(kind.type, kind.index or 0)
        self.moves += 1
        return self

    def in_bfloat16(self):
        self.copies += 1
        return Counted(self.where)


@pytest.mark.parametrize("found", [{"cuda": 1}, {"mps": True}, {}], ids=str)
@pytest.mark.parametrize("name", ["auto", "named"])
def test_a_network_is_moved_and_copied_once(machine, found, name):
    machine(**found)
    device = name if name == "auto" else next(iter([*found, "cpu"]))
    live = Counted()
    fitted = FittedTextNetwork("model", None, live=live)
    first = fitted.on(resolve_device(device), "bfloat16")
    for _ in range(3):
        target = resolve_device(device)
        assert fitted.on(target, "bfloat16") is first
        assert fitted.on(target, "float32") is live
    assert (live.moves, live.copies) == (1 if found else 0, 1)


@pytest.mark.parametrize("layers", [0, 1])
def test_auto_is_resolved_once_in_a_prediction(make_classifier, monkeypatch, layers):
    from sklearn_dl.runtimes.torch import _device
    from sklearn_dl.training import _rows

    clf = make_classifier(trainable_layers=layers).fit(TEXTS, LABELS)
    monkeypatch.setattr(_rows, "CHUNK", 3)
    monkeypatch.setattr(_windows, "ROWS_AT_ONCE", 3)
    asked = []
    monkeypatch.setattr(
        _device, "resolve_device", lambda *args: asked.append(args) or resolve_device(*args)
    )
    clf.predict_proba(TEXTS)
    assert asked == [("auto",)]


def test_a_second_prediction_neither_moves_nor_copies(make_classifier, monkeypatch):
    from sklearn_dl.text._text_network import TextNetwork, TransformerNetwork

    clf = make_classifier(precision="bfloat16").fit(TEXTS, LABELS)
    clf.predict(TEXTS)
    monkeypatch.delattr(TransformerNetwork, "move_to")
    monkeypatch.delattr(TextNetwork.__mro__[1], "in_bfloat16")
    assert len(clf.predict(TEXTS[:1])) == 1


def test_a_copy_keeps_the_live_network():
    fitted = FittedTextNetwork("model", None, live=Counted())
    copied = copy.copy(fitted)
    assert copied.live is fitted.live
    assert copied._lock is not fitted._lock
