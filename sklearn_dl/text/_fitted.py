"""A text network that an estimator has fitted: live in this process, bytes in a pickle."""

from sklearn_dl.models._folder import find_folder
from sklearn_dl.training._fitted import FittedNetwork
from sklearn_dl.utils._sessions import cached_session


class FittedTextNetwork(FittedNetwork):
    """A FittedNetwork of an FolderContent."""

    def tokens(self, max_length):
        return shared_tokens(self.content.sha256, self._content_at_hand, max_length)

    def for_pickle(self, content):
        """A copy without anything live, that carries `content`."""
        whole = self.live is not None and all(p.requires_grad for p in self.live.parameters())
        if whole and content.data is None:
            content = self.content.without_weights()
        return FittedTextNetwork(self.model, content, trained=self.trained_bytes())

    def _shared(self, device, precision):
        return shared_network(self.content.sha256, self._whole_content, device, precision)

    def _pretrained(self):
        from sklearn_dl.text._network import load_network

        return load_network(self._whole_content())

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
        if content.data is not None and content.has_weights():
            return content
        found = find_folder(self.model)
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
