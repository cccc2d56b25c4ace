"""A network that an estimator has fitted: live in this process, bytes in a pickle."""

import copy
import os
from abc import ABC, abstractmethod
from threading import RLock
from typing import TYPE_CHECKING

from sklearn_dl.runtimes._sessions import cached_session, find_session
from sklearn_dl.runtimes.torch._device import Where, torch_settings
from sklearn_dl.training._head import LinearHead
from sklearn_dl.training._rows import Read, Rows

if TYPE_CHECKING:  # it imports torch
    from sklearn_dl.training._task import Feed


class FittedNetwork(ABC):
    """A pretrained network as it is, or what training has made of it.

    Parameters
    ----------
    model : str, Path or callable
        Where `content` was found.
    content : ModelContent
        Of the pretrained model.
    live : NetworkWithHead or None
        The trained network. It is not trained further while this object is in use.
    trained : bytes or None
        Its trained tensors as safetensors, in place of `live`. With neither, the pretrained
        network counts.
    """

    # how many rows the head that training starts with is solved on; None: all
    rows_of_first_head: int | None = None

    def __init__(self, model, content, live=None, trained=None):
        self.model = model
        self.content = content
        self.live = live
        self.trained = trained
        self._bfloat16 = None
        self._lock = RLock()

    @abstractmethod
    def features(self, rows: Rows, where: Where) -> Read:
        """What the network gives for rows, from before its head.

        Raises
        ------
        RowError
            If a row cannot be read, or the network gives NaN or infinity for it, and the rows say
            that this raises.
        """

    @abstractmethod
    def feed(self, rows: Rows, network) -> "Feed":
        """What the live `network` is fed for rows in training.

        Raises
        ------
        ValueError
            If the network cannot read such rows.
        """

    @property
    def takes_head(self):
        """Whether it has a head, or is to get one; without one its features are its outputs."""
        return True

    @property
    def needs_torch(self):
        """Whether it computes with torch."""
        return True

    def resolved(self, where: Where) -> Where:
        """`where`, resolved if this network computes with torch."""
        return where.resolved() if self.needs_torch else where

    def check(self, trainable_layers) -> None:  # noqa: B027 - not all can tell before they load
        """Raise a ValueError if so many layers cannot be trained, before any row is read."""

    @abstractmethod
    def for_pickle(self, content):
        """A copy without anything live, that carries `content`."""

    @abstractmethod
    def _key(self) -> tuple:
        """What identifies the pretrained network among all that a process has loaded."""

    @abstractmethod
    def _has_all(self) -> bool:
        """Whether `content` has all that the pretrained network is made from."""

    @abstractmethod
    def _find(self):
        """The content of `model` as it is now."""

    @abstractmethod
    def _pretrained(self):
        """The pretrained network, on the CPU, for the caller alone."""

    @abstractmethod
    def _load(self):
        """The network with the tensors `trained`."""

    @property
    def is_trained(self):
        return self.live is not None or self.trained is not None

    def on(self, device, precision):
        """The network for scoring on `device` in "float32" or "bfloat16".

        One that is there already is neither moved nor copied.
        """
        # a network made in another default dtype, or in inference mode, would stay so
        with torch_settings(), self._lock:
            if not self.is_trained:
                return self._shared(device, precision)
            live = self._live_on(device)
            if precision == "float32":
                return live
            if self._bfloat16 is None or next(self._bfloat16.parameters()).device != device:
                self._bfloat16 = live.in_bfloat16()
            return self._bfloat16

    def _shared(self, device, precision):
        """The pretrained network as it is: one for the process, not to be trained."""
        key = (*self._key(), str(device), precision)
        try:
            content = self._whole_content()  # if it has changed, what is loaded is not used either
        except FileNotFoundError:
            loaded = find_session(key)
            if loaded is None:
                raise
            return loaded

        def load():
            network = self._pretrained().move_to(device).requires_grad_(False)
            return network.in_bfloat16() if precision == "bfloat16" else network

        return cached_session(key, load, content.n_bytes, str(device))

    def _whole_content(self):
        """`content`, or what is found in its place if a pickle has left some of it out."""
        if self._has_all() or self.content.is_unchanged():
            return self.content
        found = self._find()
        if found.sha256 != self.content.sha256:
            raise ValueError(
                f"model={self.model!r} is not the one that this estimator was fitted "
                f"with (sha256 {found.sha256[:12]}, it was {self.content.sha256[:12]}): fit it "
                "again, or put the model back."
            )
        return found

    def _live_on(self, device):
        if self.live is None:
            self.live, self.trained = self._load().move_to(device), None
        if next(self.live.parameters()).device != device:
            self.live.move_to(device)
        return self.live

    def network_to_train(self, device):
        """A network with the same weights that belongs to the caller."""
        with torch_settings(), self._lock:
            if self.is_trained:
                network = copy.deepcopy(self._live_on(device))
                network.changed = set(network.changed_tensors())  # before others are frozen
                return network
            return self._pretrained().move_to(device)

    def linear_head(self, where: Where) -> LinearHead | None:
        """The network's own head; None if it has none."""
        if not self.takes_head:
            return None
        return self.on(where.resolved().device, "float32").linear_head()

    def with_content(self, content):
        """The same network, with a content that was found anew and has the same hash."""
        copied = copy.copy(self)
        copied.content = content
        return copied

    def is_gone(self):
        """Whether nothing is left at the path that its files were found at."""
        if self._has_all() or self.content.is_unchanged() or callable(self.model):
            return False
        path = os.fspath(self.model)
        return os.sep in path and not os.path.exists(path)

    def at(self, model):
        """The same network, whose files lie elsewhere now."""
        copied = copy.copy(self)
        copied.model, copied.content = model, self.content.for_pickle(False)
        return copied

    def with_live(self, network):
        """The same pretrained network, trained to `network`."""
        copied = copy.copy(self)
        copied.live, copied.trained, copied._bfloat16 = network, None, None
        return copied

    def trained_bytes(self):
        """The tensors that training has changed, as safetensors; None if nothing was trained."""
        with self._lock:
            if self.live is None:
                return self.trained
        from safetensors.torch import save

        tensors = self._tensors_to_keep(self.live)
        return save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})

    def _tensors_to_keep(self, network):
        """Tensors of a trained network that a pickle carries, by name."""
        return network.changed_tensors()

    def __copy__(self):
        copied = type(self).__new__(type(self))
        vars(copied).update(vars(self), _lock=RLock())
        return copied

    def __reduce__(self):
        return type(self), (self.model, self.content, None, self.trained)
