"""The processes that share one fit: several under torchrun, otherwise one."""

import os
from contextlib import contextmanager
from functools import lru_cache
from itertools import count

from sklearn_dl.runtimes.torch._device import torch_settings
from sklearn_dl.utils._optional import import_optional

_group_numbers = count()


class OneProcess:
    """The only process of a fit; it has the same methods as TorchProcesses."""

    count, rank, per_machine = 1, 0, 1
    device = None

    def sum_gradients(self, parameters):
        pass

    def from_first(self, value):
        return value

    def gather(self, value):
        return [value]


class TorchProcesses:
    """The processes of a torch process group.

    Attributes
    ----------
    count : int
        Number of processes.
    rank : int
        Number of this process, counted from 0.
    per_machine : int
        Number of processes on this machine.
    device : torch.device
        The device of this process.
    """

    def __init__(self, state):
        self.count, self.rank = state.num_processes, state.process_index
        self.per_machine = int(os.environ.get("LOCAL_WORLD_SIZE", self.count))
        self.device = state.device

    def sum_gradients(self, parameters):
        """Replace each gradient by its sum over the processes; a missing gradient is zero."""
        import torch

        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        whole = torch.cat([gradient.reshape(-1) for gradient in gradients])
        torch.distributed.all_reduce(whole)
        parts = whole.split([gradient.numel() for gradient in gradients])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def from_first(self, value):
        """Return, in all processes, the `value` that process 0 passes."""
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def gather(self, value):
        """Return the values that all processes pass, in the order of their ranks."""
        from accelerate.utils import gather_object

        return gather_object([value])


@contextmanager
def training_processes(where):
    """Context that yields the processes that share this fit, as torchrun's variables define them.

    Without torchrun, this imports neither torch nor accelerate: accelerate keeps state for the
    whole Python process. At the end, environment variables and the number of threads are as before.

    Parameters
    ----------
    where : Where

    Yields
    ------
    processes : OneProcess or TorchProcesses
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or "RANK" not in os.environ:
        yield OneProcess()
        return
    where = where.resolved()
    import torch

    purpose = f"{where.purpose} under torchrun"
    accelerate = import_optional("accelerate", extra="text", purpose=purpose)
    environment = dict(os.environ)
    found = torch.distributed.is_initialized()
    stateful = bool(accelerate.PartialState._shared_state)
    n_threads = torch.get_num_threads()
    try:
        # if OMP_NUM_THREADS is not set, accelerate warns and sets torch's threads
        os.environ.setdefault("OMP_NUM_THREADS", str(n_threads))
        options = {} if found else _new_group()
        processes = TorchProcesses(
            accelerate.PartialState(cpu=where.device.type == "cpu", **options)
        )
        with torch_settings(where.n_threads, processes.per_machine):
            yield processes
    finally:
        if not found and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        if not stateful:
            accelerate.PartialState._reset_state()
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)


def _new_group():
    """Arguments for a new process group, which is separate from the groups of earlier fits."""
    from torch.distributed import PrefixStore

    store, rank, n_processes = _meeting_point()
    store = PrefixStore(f"sklearn_dl/{next(_group_numbers)}", store)
    return {"store": store, "rank": rank, "world_size": n_processes}


@lru_cache(maxsize=1)
def _meeting_point():
    """Return the store in which the processes meet, this process's rank, and their number."""
    import torch

    return next(torch.distributed.rendezvous("env://"))
