"""A network that an estimator has fitted: live in this process, bytes in a pickle."""

import copy
from abc import ABC, abstractmethod
from threading import RLock

from sklearn_dl.training._device import torch_settings


class FittedNetwork(ABC):
    """A pretrained network as it is, or what training has made of it.

    Parameters
    ----------
    model : str, Path or callable
        Where `content` was found.
    content : content of the pretrained model
        With `sha256` and `data`, as EmbeddedModelEstimator has it.
    live : NetworkWithHead or None
        The trained network. It is not trained further while this object is in use.
    trained : bytes or None
        Its trained tensors as safetensors, in place of `live`. With neither, the pretrained
        network counts.
    """

    def __init__(self, model, content, live=None, trained=None):
        self.model = model
        self.content = content
        self.live = live
        self.trained = trained
        self._bfloat16 = None
        self._lock = RLock()

    @abstractmethod
    def for_pickle(self, content):
        """A copy without anything live, that carries `content`."""

    @abstractmethod
    def _shared(self, device, precision):
        """The pretrained network as it is: one for the process, not to be trained."""

    @abstractmethod
    def _pretrained(self):
        """The pretrained network, on the CPU, for the caller alone."""

    @abstractmethod
    def _load(self):
        """The network with the tensors `trained`."""

    @property
    def is_trained(self):
        return self.live is not None or self.trained is not None

    @property
    def device(self):
        """Where the live network is."""
        return next(self.live.parameters()).device

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

    def _live_on(self, device):
        if self.live is None:
            self.live, self.trained = self._load().place(device), None
        if next(self.live.parameters()).device != device:
            self.live.place(device)
        return self.live

    def network_to_train(self, device):
        """A network with the same weights that belongs to the caller."""
        with torch_settings(), self._lock:
            if self.is_trained:
                return copy.deepcopy(self._live_on(device))
            return self._pretrained().place(device)

    def with_live(self, network):
        """The same pretrained network, trained to `network`."""
        return type(self)(self.model, self.content, live=network)

    def trained_bytes(self):
        """The trained tensors as safetensors, or None."""
        if self.live is None:
            return self.trained
        from safetensors.torch import save

        from sklearn_dl.training._loop import trained_tensors

        tensors = trained_tensors(self.live).items()
        return save({name: t.detach().cpu().contiguous() for name, t in tensors})

    def __getstate__(self):
        return {**vars(self), "live": None, "_bfloat16": None, "_lock": None}

    def __setstate__(self, state):
        vars(self).update(state, _lock=RLock())
