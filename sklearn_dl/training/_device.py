"""Where torch works, how precisely, and with how many threads; what it must leave as it was."""

import os
from contextlib import contextmanager
from threading import Lock, RLock, local

from sklearn_dl.utils._optional import import_optional
from sklearn_dl.utils._threads import thread_budget

# one fit at a time in a process: dropout draws from torch's one generator
_fit_lock = RLock()
_threads_lock = Lock()
_in_use = 0
_found_threads = 0
_inside = local()  # .threads: what this Python thread has already set
_forked_after_import = False


def _after_fork():
    global _fit_lock, _threads_lock, _in_use, _inside, _forked_after_import
    _fit_lock, _threads_lock, _in_use, _inside = RLock(), Lock(), 0, local()
    _forked_after_import = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def import_torch(purpose):
    """The torch module, or an error that says which extra installs it."""
    extra = "vision" if purpose == "ImageClassifier" else "text"
    return import_optional("torch", extra=extra, purpose=purpose)


def resolve_device(device, purpose):
    """The `torch.device` that `device` means on this machine.

    Parameters
    ----------
    device : str
        "auto" is cuda, else mps, else cpu; other names are torch's.

    Raises
    ------
    ValueError
        If the device has no such name, or is not on this machine.
    """
    torch = import_torch(purpose)
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is no name of a device that torch knows.") from error
    here = {"cpu": True, "cuda": cuda, "mps": mps}
    if not here.get(resolved.type, False):
        found = [name for name, is_here in here.items() if is_here]
        raise ValueError(f'device={device!r} is not on this machine; use "auto" or one of {found}.')
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={device!r}: this machine has {torch.cuda.device_count()} of cuda."
        )
    return resolved


def resolve_precision(precision, device):
    """Resolve `precision` for `device`: "float32" or "bfloat16".

    "auto" is bfloat16 where the processor computes with it: CPUs with avx512_bf16 or AMX, GPUs
    that say so. Elsewhere it would be slower than float32.
    """
    if precision != "auto":
        return precision
    import torch

    if device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if fast else "float32"


def autocast(precision, device):
    """Context in which matrix products are computed in `precision`."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def torch_threads(n_processes=1):
    """Torch with this process's share of the processors, and as it was afterwards.

    Inside itself (scoring inside a fit) it changes nothing: the outer share stays.
    After a fork torch's threads are gone, and waiting for them would hang: one thread then.
    """
    import torch

    global _in_use, _found_threads
    if outer := getattr(_inside, "threads", 0):
        yield outer
        return
    budget = 1 if _forked_after_import else max(1, thread_budget() // n_processes)
    with _threads_lock:
        if not _in_use:
            _found_threads = torch.get_num_threads()
        _in_use += 1
    try:
        if torch.get_num_threads() != budget:
            torch.set_num_threads(budget)
        _inside.threads = budget
        yield budget
    finally:
        _inside.threads = 0
        with _threads_lock:
            _in_use -= 1
            if torch.get_num_threads() != _found_threads:
                torch.set_num_threads(_found_threads)


@contextmanager
def own_random_state(device):
    """Whatever is drawn from torch's generators inside changes nothing outside."""
    import torch

    with _fit_lock, torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def seed_dropout(device, seed):
    """Seed the generator that dropout on `device` draws from (inside `own_random_state`)."""
    import torch

    # torch.manual_seed would also queue a call for a cuda that is not there, at 1 ms each
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
