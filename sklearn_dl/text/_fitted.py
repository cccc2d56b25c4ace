"""A network that an estimator has fitted: live in this process, bytes in a pickle."""

import copy
from threading import RLock

from sklearn_dl.text._content import find_encoder
from sklearn_dl.utils._sessions import cached_session


class FittedNetwork:
    """A pretrained network as it is, or what training has made of it.

    Parameters
    ----------
    model : str or Path
        Where `content` was found.
    content : EncoderContent
        The pretrained encoder.
    live : TextNetwork or None
        The trained network. It is not trained further while this object is in use.
    trained : bytes or None
        Its trained tensors as safetensors, in place of `live`. With neither, the pretrained
        network counts, which the process shares.
    """

    def __init__(self, model, content, live=None, trained=None):
        self.model = model
        self.content = content
        self.live = live
        self.trained = trained
        self._bfloat16 = None
        self._lock = RLock()

    @property
    def is_trained(self):
        return self.live is not None or self.trained is not None

    def on(self, device, precision):
        """The network for scoring on `device` in "float32" or "bfloat16"."""
        if not self.is_trained:
            return shared_network(self.content.sha256, self._whole_content, device, precision)
        with self._lock:
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

    def tokens(self, max_length):
        return shared_tokens(self.content.sha256, self._content_at_hand, max_length)

    def network_to_train(self, device):
        """A network with the same weights that belongs to the caller."""
        from sklearn_dl.text._network import load_network

        if self.is_trained:
            with self._lock:
                return copy.deepcopy(self._live_on(device))
        return load_network(self._whole_content()).place(device)

    def for_pickle(self, content):
        """A copy without anything live, that carries `content`."""
        trained = self.trained
        if self.live is not None:
            from safetensors.torch import save

            from sklearn_dl.training._loop import trained_tensors

            tensors = trained_tensors(self.live).items()
            trained = save({name: t.detach().cpu().contiguous() for name, t in tensors})
            if content.data is None and all(p.requires_grad for p in self.live.parameters()):
                content = self.content.without_weights()
        return FittedNetwork(self.model, content, trained=trained)

    def __getstate__(self):
        return {**vars(self), "live": None, "_bfloat16": None, "_lock": None}

    def __setstate__(self, state):
        vars(self).update(state, _lock=RLock())

    def _load(self):
        from safetensors.torch import load

        from sklearn_dl.text._network import load_network

        trained = load(self.trained)
        n_outputs = len(trained["head.bias"]) if "head.bias" in trained else 0
        network = load_network(self._content_at_hand(), n_outputs, trained)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in trained)
        return network

    def _content_at_hand(self):
        """What is in memory, be it without weights; else the files."""
        return self.content if self.content.data is not None else self._whole_content()

    def _whole_content(self):
        content = self.content
        if content.data is not None and content.weights():
            return content
        found = find_encoder(self.model)
        if found.sha256 != content.sha256:
            raise ValueError(
                f"model={self.model!r} is not the one that this estimator was fitted with (sha256 "
                f"{found.sha256[:12]}, expected {content.sha256[:12]})."
            )
        return found


def shared_network(sha256, find_content, device, precision):
    """The pretrained network as it is: one for the process, not to be trained."""
    from sklearn_dl.text._network import load_network

    def load():
        network = load_network(find_content()).place(device).requires_grad_(False)
        return network.in_bfloat16() if precision == "bfloat16" else network

    return cached_session(("text network", sha256, str(device), precision), load)


def shared_tokens(sha256, find_content, max_length):
    """The tokenizer of a pretrained encoder: one for the process."""
    from sklearn_dl.text._network import load_tokens

    def load():
        return load_tokens(find_content(), max_length)

    return cached_session(("text tokens", sha256, max_length), load)
