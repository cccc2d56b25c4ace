"""The network of a fitted estimator, and how it is loaded, moved, copied and pickled."""

import copy
import os
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from sklearn_dl.models._estimator import embeds
from sklearn_dl.runtimes._sessions import cached_session, find_session
from sklearn_dl.runtimes.torch._device import Where, torch_settings
from sklearn_dl.training._head import LinearHead
from sklearn_dl.training._rows import Read, Rows
from sklearn_dl.utils._locks import ForkSafeLock

if TYPE_CHECKING:  # it imports torch
    from sklearn_dl.training._task import Feed


class FittedNetwork(ABC):
    """The network of a fitted estimator: the pretrained network, or one that `fit` has trained.

    A trained network is loaded only when it is needed. The loaded torch module is "live".

    Parameters
    ----------
    model : str, Path or callable
        The estimator's `model`, from which `content` comes.
    content : ModelContent
        The pretrained model.
    live : NetworkWithHead or None
        The trained network. It must not be trained while this object is in use; a later fit trains
        a copy of it.
    trained : bytes or None
        The trained tensors of the network as safetensors, until the network is live. If both
        `live` and `trained` are None, this is the pretrained network.
    """

    # the initial head is fitted to at most this number of rows; None: to all rows
    rows_of_initial_head: int | None = None

    def __init__(self, model, content, live=None, trained=None):
        self.model = model
        self.content = content
        self.live = live
        self.trained = trained
        self._bfloat16 = None
        self._lock = ForkSafeLock()

    @abstractmethod
    def features(self, rows: Rows, where: Where) -> Read:
        """The features that the network computes for rows.

        Raises
        ------
        RowError
            If a row cannot be read or the network gives NaN or infinity for it, unless
            ``rows.skips`` is True.
        """

    @abstractmethod
    def feed(self, rows: Rows, network) -> "Feed":
        """The Feed that passes rows to the live `network` in training.

        Raises
        ------
        ValueError
            If the network cannot read these rows.
        """

    def outputs(self, head: LinearHead | None, rows: Rows, where: Where) -> Read:
        """What `head` computes from the features of rows that fit in memory at once, as a Read.

        Its values are float64. Without a head, the features are the outputs.
        """
        read = self.features(rows, where)
        if head is None:
            return read
        if len(read.errors) == len(rows):
            return read._replace(values=np.full((len(rows), len(head.bias)), np.nan))
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = head(read.values.astype(np.float64, copy=False))
        # the bias of a class without training rows is -inf, which is not an error
        bad = (~np.isfinite(outputs) & (head.bias != -np.inf)).any(axis=1)
        errors = dict(read.errors)
        for position in np.flatnonzero(bad).tolist():
            if position not in errors:
                errors[position] = rows.not_finite(position, outputs[position], "outputs")
                outputs[position] = np.nan
        return Read(outputs, errors, read.cut)

    @contextmanager
    def for_fit(self):
        """Context of a fit. It yields the network, which may keep temporary files until the end."""
        yield self

    @property
    def stores_features(self):
        """Whether training reads stored features of the frozen network instead of the rows."""
        return False

    def with_views(self, rows: Rows, seed: int, where: Where) -> Rows:
        """The rows, with stored features of their random views if training reads these."""
        return rows

    def start_head(self, network, rows: Rows, problem, seed: int, where: Where) -> None:  # noqa: B027
        """Add a new head to the live `network`, if the Problem cannot fit one."""

    @property
    def takes_head(self):
        """Whether the network has a linear head, or a Problem can fit one."""
        return True

    @property
    def needs_torch(self):
        """Whether the network computes with torch."""
        return True

    def resolved(self, where: Where) -> Where:
        """Return `where`, resolved if this network computes with torch."""
        return where.resolved() if self.needs_torch else where

    def check(self, trainable_layers) -> None:  # noqa: B027 - optional
        """Raise a ValueError if the network does not have this number of layers to train."""

    def for_pickle(self, embed_model):
        """A copy for a pickle, which contains each tensor once, unless `embed_model` is True.

        Parameters
        ----------
        embed_model : bool or "auto"
            As in the estimators.

        Returns
        -------
        network : FittedNetwork
            It has no live network. If its trained tensors are all the weights of the network, its
            content has no weights, unless `embed_model` is True.
        """
        copied = copy.copy(self)
        in_pickle = embeds(embed_model, self.model)
        every = in_pickle and embed_model == "auto" and self.has_own_body
        copied.trained, copied.live, copied._bfloat16 = self.trained_bytes(every), None, None
        if embed_model is not True and self.has_own_body and (every or self._keeps_all()):
            copied.content = self.content.without_weights()
        else:
            content = self.whole_content() if in_pickle else self.content
            copied.content = content.for_pickle(in_pickle)
        return copied

    @property
    def has_own_body(self):
        """Whether a fit has trained the body of the network, or a part of it."""
        return self.is_trained

    @abstractmethod
    def _keeps_all(self) -> bool:
        """Whether the tensors that training has changed are all the weights of the network."""

    @abstractmethod
    def _key(self) -> tuple:
        """The key of the pretrained network in the cache of loaded networks."""

    @abstractmethod
    def _has_all(self) -> bool:
        """Whether the pretrained network can be loaded from `content` without reading files."""

    @abstractmethod
    def _find(self):
        """Find the content of `model` as it is now."""

    @abstractmethod
    def _pretrained(self):
        """Load the pretrained network on the CPU, as a new object."""

    @abstractmethod
    def _load(self):
        """Load the network on the CPU with the tensors in `trained`."""

    @property
    def is_trained(self):
        """Whether a fit has trained the network."""
        return self.live is not None or self.trained is not None

    def on(self, device, precision):
        """The network for scoring on `device` in "float32" or "bfloat16".

        A trained network is moved only if it is on a different device.
        """
        # a network that is made with another default dtype, or in inference mode, would keep these
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
        """The pretrained network, which all estimators of this process share: do not train it."""
        key = (*self._key(), str(device), precision)
        try:
            # this raises an error if the model has changed, even if the old one is loaded
            content = self.whole_content()
        except FileNotFoundError:
            loaded = find_session(key)
            if loaded is None:
                raise
            return loaded

        def load():
            network = self._pretrained().move_to(device).requires_grad_(False)
            return network.in_bfloat16() if precision == "bfloat16" else network

        return cached_session(key, load, content.n_bytes, str(device))

    def whole_content(self):
        """Return `content`; if a pickle has left out a part of it, find the same content again."""
        if self._has_all() or self.content.is_unchanged():
            return self.content
        found = self._find()
        if found.sha256 != self.content.sha256:
            raise ValueError(
                f"model={self.model!r} is not the one that this estimator was fitted with (sha256 "
                f"{found.sha256[:12]} instead of {self.content.sha256[:12]}): fit the estimator "
                "again, or restore the model."
            )
        return found

    def _live_on(self, device):
        """The trained network on `device`. It is loaded if it is not live yet."""
        if self.live is None:
            self.live, self.trained = self._load().move_to(device), None
        if next(self.live.parameters()).device != device:
            self.live.move_to(device)
        return self.live

    def network_to_train(self, device):
        """A new network with the same weights on `device`, for the caller to train."""
        with torch_settings(), self._lock:
            if self.is_trained:
                network = copy.deepcopy(self._live_on(device))
                network.changed = set(network.changed_tensors())  # before other layers are frozen
                return network
            return self._pretrained().move_to(device)

    def linear_head(self, where: Where) -> LinearHead | None:
        """The network's own head; None if the network has no head."""
        if not self.takes_head:
            return None
        where = where.resolved()
        # its head computes in float32 in any precision
        return self.on(where.device, where.precision).linear_head()

    def with_content(self, content):
        """The same network with a different content, which must have the same hash."""
        copied = copy.copy(self)
        copied.content = content
        return copied

    def is_gone(self):
        """Whether the network must be loaded from a path that no longer exists."""
        if self._has_all() or self.content.is_unchanged() or callable(self.model):
            return False
        path = os.fspath(self.model)
        return os.sep in path and not os.path.exists(path)

    def at(self, model):
        """The same network, to be loaded from a different `model`."""
        copied = copy.copy(self)
        copied.model, copied.content = model, self.content.for_pickle(False)
        return copied

    def with_live(self, network):
        """The same pretrained network with the trained `network` as the live network."""
        copied = copy.copy(self)
        copied.live, copied.trained, copied._bfloat16 = network, None, None
        return copied

    def trained_bytes(self, every=False):
        """The tensors that training has changed, as safetensors; None if nothing was trained.

        With `every`, the tensors of the trained network that have not changed are included.
        """
        with self._lock:
            if every and self.live is None and not self._keeps_all():
                self._live_on("cpu")
            if self.live is None:
                return self.trained
        from safetensors.torch import save

        tensors = self.live.state_dict() if every else self._tensors_to_keep(self.live)
        return save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})

    def _tensors_to_keep(self, network):
        """The tensors of a trained network that a pickle contains, by name."""
        return network.changed_tensors()

    def __copy__(self):
        copied = type(self).__new__(type(self))
        vars(copied).update(vars(self), _lock=ForkSafeLock())
        return copied

    def __reduce__(self):
        return type(self), (self.model, self.content, None, self.trained)
