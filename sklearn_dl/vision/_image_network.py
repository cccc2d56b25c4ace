"""The torch network behind ImageClassifier. Importing this module imports torch."""

from hashlib import sha256

import torch

from sklearn_dl.training._dropout import Dropout, replace_dropout
from sklearn_dl.training._network_with_head import NetworkWithHead
from sklearn_dl.vision._features import check_rank


class ImageNetwork(NetworkWithHead):
    """A network from pixels to features, and a linear head.

    Batch normalisation layers keep the statistics of the pretraining, because the statistics of a
    small batch are too noisy. So the loss of a row does not depend on the other rows. The weights
    of these layers are trained.

    Parameters
    ----------
    body : torch.nn.Module
        Maps pixels (n, C, H, W) to features (n, n_features), or to feature maps, which are
        averaged.
    n_features, n_outputs : int
        Number of inputs and outputs of the head. If `n_outputs` is 0, there is no head.
    """

    def __init__(self, body, n_features=0, n_outputs=0):
        super().__init__(n_features, n_outputs)
        self.body = body
        self.dropout = Dropout(0.2)

    def move_to(self, device):
        return self.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def train(self, mode=True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def features(self, pixels):
        """Return the features, a float32 tensor of shape (n, n_features)."""
        dtype = next((p.dtype for p in self.body.parameters()), pixels.dtype)
        features = self.body(pixels.to(dtype, memory_format=torch.channels_last)).float()
        return check_rank(features).mean((2, 3)) if features.ndim == 4 else check_rank(features)

    def forward(self, pixels):
        """Return the head's outputs, of shape (n, n_outputs)."""
        assert self.head is not None
        return self.head(self.dropout(self.features(pixels))).float()

    def layers(self):
        """Return the layers of the body, as `layers_of` does. A subclass may return only some."""
        return layers_of(self.body)

    def train_last(self, n_layers):
        """Freeze all layers of the body except the last `n_layers`; the head is always trained."""
        self.requires_grad_(True)
        if n_layers == "all":
            return
        layers = self.layers()
        if n_layers > len(layers):
            raise ValueError(
                f"trainable_layers={n_layers}, but the network has {len(layers)} layers; set "
                'trainable_layers="all" to train all of them.'
            )
        self.body.requires_grad_(False)
        for layer in layers[-n_layers:]:
            for module in layer:
                module.requires_grad_(True)


def layers_of(body):
    """Return the layers of a network, in the order in which the network created them.

    A layer is a list of modules. It has one element of an outermost list of modules (usually a
    block), or one module next to these lists. A module whose parameters are all vectors (a
    normalisation layer) belongs to the layer before it.
    """
    layers: list = []
    for module in _layer_modules(body, is_root=True):
        parameters = list(module.parameters())
        if not parameters:
            continue
        if layers and all(p.ndim < 2 for p in parameters):
            layers[-1].append(module)
        else:
            layers.append([module])
    return layers


def _layer_modules(module, is_root=False):
    """Yield the elements of the outermost lists of modules, and the modules next to the lists."""
    children = [child for child in module.children() if any(True for _ in child.parameters())]
    if isinstance(module, (torch.nn.ModuleList, torch.nn.Sequential)) and not is_root:
        yield from children
    elif is_root or len(children) == 1 or _holds_list(module) or any(map(_holds_list, children)):
        for child in children:
            yield from _layer_modules(child)
        if not children:
            yield module
    else:
        yield module


def _holds_list(module):
    return any(isinstance(child, torch.nn.ModuleList) for child in module.children())


def image_network(body):
    """Return the ImageNetwork of a torch module, in evaluation mode."""
    if not isinstance(body, torch.nn.Module):
        raise ValueError(
            f"`model` must return a torch.nn.Module, got {type(body).__name__}. The module "
            "must map pixels (n, 3, H, W) to features (n, n_features)."
        )
    replace_dropout(body)
    return ImageNetwork(body).eval()


def module_hash(network, version):
    """Return the sha256 of a network's tensors, the types of its modules, and a version."""
    kinds = [f"{type(m).__module__}.{type(m).__qualname__}" for m in network.modules()]
    digest = sha256(f"{network!r} {kinds} {version!r}".encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
