"""Image classifiers in transformers' format as backbones. Importing this module imports torch."""

import torch

from sklearn_dl.models._folder_safety import tensor_shapes
from sklearn_dl.models._transformers import (
    explained,
    load_config,
    load_model,
    quiet,
    read_weights,
    transformers,
)
from sklearn_dl.vision._image_network import image_network


def folder_network(content, weights=True, shapes=None):
    """Load the ImageNetwork of a folder in transformers' format, without its classifier.

    Parameters
    ----------
    content : FolderContent
    weights : bool
        If False, the weights are not read, because the caller replaces them.
    shapes : dict of tuple of int, default=None
        Shapes of the weights, by their names. They are used if `content` has no weights.
    """
    mapping = transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING

    def check(config_class, values):
        if config_class not in mapping:
            raise ValueError(
                f"{content.name}: {config_class.model_type!r} is not an image classifier that "
                "transformers knows (ResNet, ConvNeXT, ViT, Swin, MobileNetV2, ...)."
            )

    with quiet():
        if content.has_weights():
            shapes = tensor_shapes(content)
        config = load_config(content, shapes, check)
        model_class = mapping[type(config)]
        if isinstance(model_class, (list, tuple)):
            model_class = model_class[0]
        state = read_weights(content, content.weights()) if weights else None
        model = load_model(content, model_class, config, state, shapes, _is_classifier, "network")
    with explained(content, "config.json"):
        _remove_classifier(model, config.num_labels)
        network = image_network(_Logits(model))
    for tensor in [*network.parameters(), *network.buffers()]:
        tensor.data = tensor.data.clone()  # a copy, not a view of the file's bytes
    return network


def _is_classifier(name):
    return name.split(".")[0] in ("classifier", "head")


class _Logits(torch.nn.Module):
    """A transformers model that maps pixels to logits, or to features if it has no classifier."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model(pixel_values=pixels).logits

    def maps(self, pixels):
        """Return the feature maps of the stages: a list of tensors (n, C, h, w)."""
        made = self.model(pixel_values=pixels, output_hidden_states=True)
        states = getattr(made, "reshaped_hidden_states", None) or made.hidden_states
        return [state for state in states if state.ndim == 4]


def _remove_classifier(model, n_labels):
    """Replace the last linear layer with `n_labels` outputs with an Identity."""
    for name, module in reversed(list(model.named_modules())):
        if isinstance(module, torch.nn.Linear) and module.out_features == n_labels:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, torch.nn.Identity())
            return
    raise ValueError(
        f"{type(model).__name__} has no linear layer with {n_labels} outputs, one for each label"
    )
