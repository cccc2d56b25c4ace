"""Image classifiers in transformers' format as backbones. Importing this module imports torch."""

from typing import Any

import torch

from sklearn_dl.models._transformers import (
    explained,
    load_config,
    quiet,
    read_weights,
    small_files_in_a_folder,
    transformers,
)
from sklearn_dl.vision._network import own_network


def folder_network(content, weights=True):
    """The ImageNetwork of a folder in transformers' format, without its classifier.

    Parameters
    ----------
    content : FolderContent
    weights : bool
        False: they are not read, because they will be replaced.
    """
    with quiet(), small_files_in_a_folder(content) as folder:
        config = load_config(content, folder)
        mapping = transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
        if type(config) not in mapping:
            raise ValueError(
                f"{content.name}: {config.model_type!r} is no image classifier that transformers "
                "knows (ResNet, ConvNeXT, ViT, Swin, MobileNetV2, ...)."
            )
        model_class: Any = mapping[type(config)]
        if isinstance(model_class, (list, tuple)):
            model_class = model_class[0]
        if weights:
            model = _with_weights(content, config, model_class)
        else:
            with torch.random.fork_rng([]):
                model = model_class(config)
    _take_classifier_off(model, config.num_labels, content)
    network = own_network(_Logits(model))
    for tensor in [*network.parameters(), *network.buffers()]:
        tensor.data = tensor.data.clone()  # not views into a file's bytes
    return network


def _with_weights(content, config, model_class):
    state = read_weights(content, content.weights())
    with explained(content, "weights"), torch.random.fork_rng([]):
        model, report = model_class.from_pretrained(
            None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True
        )
    missing = [k for k in report["missing_keys"] if k.split(".")[0] not in ("classifier", "head")]
    if missing:
        raise ValueError(
            f"{content.name}: its weights lack {len(missing)} of the network's tensors, such as "
            f"{sorted(missing)[0]!r}: config.json and the weights are of different models."
        )
    return model


class _Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model(pixel_values=pixels).logits


def _take_classifier_off(model, n_labels, content):
    for name, module in reversed(list(model.named_modules())):
        if isinstance(module, torch.nn.Linear) and module.out_features == n_labels:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, torch.nn.Identity())
            return
    raise ValueError(f"{content.name}: the last layer of {type(model).__name__} was not found.")
