"""Torch's device, precision and threads; the caller's own settings of torch are restored."""

import os
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from threading import local
from typing import Any, NamedTuple

from sklearn_dl.utils._locks import ForkSafeLock
from sklearn_dl.utils._optional import import_optional
from sklearn_dl.utils._progress import progress_bar
from sklearn_dl.utils._threads import thread_budget

# one fit at a time in a process, because dropout draws from torch's only generator
_fit_lock = ForkSafeLock()
_threads_lock = ForkSafeLock()
_in_use = 0  # calls that are inside `torch_settings`
_found: tuple = ()  # threads, default dtype and precisions of products that the caller had set
_inside = local()  # .threads: set while this Python thread is inside `torch_settings`
_forked_after_import = False
# torch reads it once; Ray sets it again for each task of a worker process
_omp_at_first = os.environ.get("OMP_NUM_THREADS")
_is_float32_only: ContextVar[bool] = ContextVar("is_float32_only", default=False)


def _after_fork():
    global _in_use, _inside, _forked_after_import
    _in_use, _inside = 0, local()
    _forked_after_import = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Where(NamedTuple):
    """The device, precision and threads with which a network of an estimator computes.

    Attributes
    ----------
    device : str or torch.device
        A str is the estimator's parameter; `resolved` replaces it with a device of this machine.
    precision : {"auto", "float32", "bfloat16"}
        `resolved` replaces "auto".
    purpose : str
        Name of the estimator in messages.
    extra : str
        The extra of sklearn-dl that installs torch for this estimator.
    memory : str, Path or None, default=None
        Folder in which the features of a pretrained network are kept.
    n_threads : int or None, default=None
        As in `thread_budget`.
    verbose : int, default=0
        Whether `progress` shows a bar.
    done : callable(n_rows) or None, default=None
        Called after each batch with its number of rows.
    """

    device: Any
    precision: str
    purpose: str
    extra: str
    memory: Any = None
    n_threads: int | None = None
    verbose: int = 0
    done: Any = None

    @contextmanager
    def progress(self, n_rows, work, *, fill=True):
        """Context that yields a copy; its `done` moves a progress bar, or is None if not `verbose`.

        Parameters
        ----------
        n_rows : int
        work : str
            Name of the step, which follows the name of the estimator.
        fill : bool, default=True
            As in `progress_bar`.
        """
        what = f"{self.purpose}: {work}"
        with progress_bar(self.verbose, n_rows, what, self.extra, fill=fill) as done:
            yield self._replace(done=done)

    def resolved(self):
        """Return a copy for this machine, with a torch.device and without "auto"; imports torch.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If torch knows no device of this name, or the device is not available on this machine.
        """
        device = self.device
        if isinstance(device, str):
            import_torch(self.purpose, self.extra)
            device = resolve_device(device)
        return self._replace(device=device, precision=resolve_precision(self.precision, device))


def import_torch(purpose, extra):
    """Return the torch module; the error names what needs it and the extra that installs it."""
    return import_optional("torch", extra=extra, purpose=purpose)


def resolve_device(device):
    """Return the `torch.device` that `device` means on this machine.

    Parameters
    ----------
    device : str
        "auto" is "cuda" if this machine has it, else "mps", else "cpu"; other names are torch's.

    Returns
    -------
    resolved : torch.device
        With an index, except for the CPU, so that it equals the `device` of tensors moved there.

    Raises
    ------
    ValueError
        If torch knows no device of this name, or the device is not available on this machine.
    """
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "auto":
        device = "cuda" if cuda else "mps" if mps else "cpu"
    here = {"cpu": True, "cuda": cuda, "mps": mps}
    found = [name for name, is_here in here.items() if is_here]
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f'device={device!r} is not the name of a device that torch knows; use "auto" or one '
            f"of {found}."
        ) from error
    if not here.get(resolved.type, False):
        raise _missing_device(device, found)
    if resolved.type == "cpu":
        return torch.device("cpu")
    if resolved.index is None:
        index = torch.cuda.current_device() if resolved.type == "cuda" else 0
        return torch.device(resolved.type, index)
    if resolved.type == "cuda" and resolved.index >= torch.cuda.device_count():
        found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        raise _missing_device(device, found)
    return resolved


def _missing_device(device, found):
    return ValueError(
        f'device={device!r} is not available on this machine; use "auto" or one of {found}.'
    )


def resolve_precision(precision, device):
    """Return what `precision` means on `device`: "float32" or "bfloat16".

    "auto" is bfloat16 on hardware that computes with it: CPUs with avx512_bf16 or AMX, and CUDA
    GPUs for which torch reports it. Elsewhere bfloat16 would be slower than float32. Within
    `float32_only`, it is always float32.
    """
    if _is_float32_only.get():
        return "float32"
    if precision != "auto":
        return precision
    import torch

    if device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if fast else "float32"


@contextmanager
def float32_only():
    """Context in which estimators compute in float32, whatever their `precision` says."""
    token = _is_float32_only.set(True)
    try:
        yield
    finally:
        _is_float32_only.reset(token)


@contextmanager
def autocast(precision, device):
    """Context in which matrix products are computed in `precision`."""
    import torch

    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            yield
    finally:
        # inside another autocast, torch would keep copies of weights that a training step changes
        torch.clear_autocast_cache()


@contextmanager
def torch_settings(n_threads=None, n_processes=1):
    """Context in which torch has its default settings and this process's share of the CPUs.

    It yields the number of threads: the result of `thread_budget`. If `n_threads` is None, it is
    at most the number that torch has already, unless torch took that number from an
    OMP_NUM_THREADS that has changed since. At the end, the caller's settings are restored.

    Inside, gradients are on. Inference mode, autocast, another default dtype or device, and
    products of float32 in reduced precision are off.

    A context inside another one (scoring inside a fit) changes nothing: the outer settings stay.
    In a forked process, torch gets one thread: its other threads do not exist there, and torch
    would wait for them for ever.
    """
    import torch

    global _in_use, _found
    if outer := getattr(_inside, "threads", 0):
        yield outer
        return
    budget = 1 if _forked_after_import else thread_budget(n_threads, n_processes)
    with _threads_lock:
        if not _in_use:
            precisions = [products.fp32_precision for products in _products()]
            _found = torch.get_num_threads(), torch.get_default_dtype(), precisions
        _in_use += 1
        if n_threads is None and not _is_outdated(_found[0]):
            budget = min(budget, _found[0])
        _set_numbers(torch.float32, ["ieee" for _ in _products()])
    try:
        if torch.get_num_threads() != budget:
            torch.set_num_threads(budget)
        _inside.threads = budget
        with _own_modes():
            yield budget
    finally:
        _inside.threads = 0
        with _threads_lock:
            _in_use -= 1
            n_threads, *numbers = _found
            if torch.get_num_threads() != n_threads:
                torch.set_num_threads(n_threads)
            if not _in_use:
                _set_numbers(*numbers)


def _is_outdated(n_threads):
    """Whether torch has `n_threads` because of an OMP_NUM_THREADS that has changed since."""
    changed = os.environ.get("OMP_NUM_THREADS") not in (None, _omp_at_first)
    return changed and str(n_threads) == _omp_at_first


def _set_numbers(dtype, precisions):
    """Set the default dtype and the precisions of products, which all Python threads share."""
    import torch

    if torch.get_default_dtype() != dtype:
        torch.set_default_dtype(dtype)
    for products, precision in zip(_products(), precisions, strict=True):
        if {products.fp32_precision, precision} not in _EQUALLY_EXACT:
            products.fp32_precision = precision


# "none" means not set: torch is then as exact as with "ieee"
_EQUALLY_EXACT = ({"none"}, {"ieee"}, {"none", "ieee"})


def _products():
    """The settings of torch whose `fp32_precision` is the precision of float32 products."""
    import torch

    return torch.backends.mkldnn.matmul, torch.backends.cuda.matmul  # type: ignore[attr-defined]


@contextmanager
def _own_modes():
    """Context with the defaults of torch's per-thread modes, such as inference and autocast."""
    import torch

    with ExitStack() as modes:
        if torch.is_inference_mode_enabled():
            modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                modes.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        yield


@contextmanager
def own_random_state(device):
    """Context after which torch's generators have the state that they had before."""
    import torch

    with _fit_lock, torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def seed_dropout(device, seed):
    """Seed the generator that dropout on `device` draws from (inside `own_random_state`)."""
    import torch

    # torch.manual_seed would also queue a call for CUDA where there is none, which takes 1 ms
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
