"""Model folders like an attacker's, and traps that detect what loading them does."""

import builtins
import contextlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

from safetensors.torch import load_file, save_file

# modules that transformers would import for some of the folders
FOREIGN = (
    *("kernels", "timm", "peft", "bitsandbytes", "flash_attn", "natten", "auto_gptq", "gptqmodel"),
    *("compressed_tensors", "torchao", "hqq", "fugashi", "nltk", "phonemizer", "mistral_common"),
)


class Trap(AssertionError):
    """The package did something that no file may cause."""


@contextlib.contextmanager
def traps(monkeypatch, *outside):
    """Fail if anything inside connects, starts a process, imports FOREIGN or opens `outside`."""
    sprung = []

    def spring(what):
        sprung.append(what)
        raise Trap(what)

    real_import, real_open = builtins.__import__, open

    def guarded_import(name, *args, **kwargs):
        if name.partition(".")[0] in FOREIGN:
            spring(f"import {name}")
        return real_import(name, *args, **kwargs)

    def guarded_open(file, *args, **kwargs):
        if not isinstance(file, int) and os.path.realpath(file) in map(os.path.realpath, outside):
            spring(f"open {file}")
        return real_open(file, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "connect", lambda self, address: spring(f"to {address}"))
        patched.setattr(socket, "getaddrinfo", lambda *args, **kwargs: spring(f"to {args}"))
        patched.setattr(subprocess, "Popen", lambda *args, **kwargs: spring(f"start {args}"))
        patched.setattr(builtins, "__import__", guarded_import)
        patched.setattr(builtins, "open", guarded_open)
        yield
    assert sprung == []


def change(path, **values):
    """Set values of a file of JSON."""
    path = Path(path)
    asked = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(asked | values))


def header(path, tensors, data=b""):
    """Write a safetensors file with this header, true or not."""
    text = json.dumps(tensors).encode()
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)


def shards(folder, parts):
    """Put the weights of a folder into several files, given as names of tensors by file."""
    folder = Path(folder)
    state = load_file(folder / "model.safetensors")
    for file, names in parts.items():
        save_file({name: state[name] for name in names}, folder / file)
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {name: file for file, names in parts.items() for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def in_cache(folder, cache):
    """A copy of a folder as the Hugging Face cache keeps it: links to blobs."""
    repository = Path(cache) / "models--someone--model"
    snapshot = repository / "snapshots" / "0123456789abcdef"
    (repository / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(p for p in Path(folder).rglob("*") if p.is_file())):
        blob = repository / "blobs" / f"{number:040x}"
        shutil.copy(path, blob)
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot
