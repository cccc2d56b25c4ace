"""The torch network behind ImageClassifier. Importing this module imports torch."""

import copy
import json
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from sklearn_dl.scoring._scorer import TensorSpec
from sklearn_dl.training._dropout import Dropout, replace_dropout
from sklearn_dl.training._network import NetworkWithHead
from sklearn_dl.utils._optional import import_optional


class ImageNetwork(NetworkWithHead):
    """A network from pixels to features, and a linear head.

    Batch normalisations keep the statistics that they were pretrained with: a batch of a few
    photographs has none worth using, and no row's loss depends on the others. Their weights are
    trained.

    Parameters
    ----------
    body : torch.nn.Module
        From (n, C, H, W) to features (n, n_features), or to maps of them, which are averaged.
    n_features, n_outputs : int
        Of the head; no outputs: there is none.
    """

    def __init__(self, body, n_features=0, n_outputs=0):
        super().__init__(n_features, n_outputs)
        self.body = body
        self.dropout = Dropout(0.2)

    def place(self, device):
        return self.to(device, memory_format=torch.channels_last)

    def in_bfloat16(self):
        """A copy for scoring, whose body computes in bfloat16."""
        copied = copy.deepcopy(self)
        copied.body.to(torch.bfloat16)
        return copied.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def features(self, pixels):
        """float32 tensor of shape (n, n_features)."""
        dtype = next((p.dtype for p in self.body.parameters()), pixels.dtype)
        features = self.body(pixels.to(dtype, memory_format=torch.channels_last)).float()
        return features.mean(tuple(range(2, features.ndim))) if features.ndim > 2 else features

    def forward(self, pixels):
        """The head's outputs, of shape (n, n_outputs)."""
        assert self.head is not None
        return self.head(self.dropout(self.features(pixels))).float()

    def train_last(self, n_layers):
        """Freeze all but the last `n_layers` layers of the body and the head."""
        self.requires_grad_(True)
        if n_layers == "all":
            return
        layers = layers_of(self.body)
        if n_layers > len(layers):
            raise ValueError(
                f'trainable_layers={n_layers}, but the network has {len(layers)} layers; "all" '
                "trains all of it."
            )
        self.body.requires_grad_(False)
        for layer in layers[-n_layers:]:
            for module in layer:
                module.requires_grad_(True)


def layers_of(body):
    """The layers or blocks of a network, in the order that they were made: list of list of modules.

    Lists of modules, and modules that have nothing of their own beside one such list, are opened;
    a normalisation belongs to what it follows.
    """
    layers: list = []
    for module in _opened(body):
        parameters = list(module.parameters())
        if not parameters:
            continue
        if layers and all(p.ndim < 2 for p in parameters):
            layers[-1].append(module)
        else:
            layers.append([module])
    return layers


def _opened(module):
    children = [child for child in module.children() if any(True for _ in child.parameters())]
    is_list = isinstance(module, (torch.nn.ModuleList, torch.nn.Sequential))
    outer = any(isinstance(child, (torch.nn.ModuleList, torch.nn.Sequential)) for child in children)
    alone = len(children) == 1 and not list(module.parameters(recurse=False))
    if children and (is_list or outer or alone):
        for child in children:
            yield from _opened(child) if not is_list or _is_stage(child) else [child]
    else:
        yield module


def _is_stage(module):
    """Whether a part of a list is itself a list of blocks."""
    children = [c for c in module.children() if any(True for _ in c.parameters())]
    return len(children) >= 1 and all(isinstance(c, torch.nn.ModuleList) for c in children)


class TorchGraph:
    """The features of a network, as `sklearn_dl.scoring` runs graphs."""

    inputs = (TensorSpec("image", ("N", None, None, None), np.dtype(np.float32)),)
    outputs = (TensorSpec("features", ("N", None), np.dtype(np.float32)),)

    def __init__(self, network, device):
        self.network = network
        self.device = device

    def run(self, feeds):
        pixels = torch.from_numpy(feeds["image"]).to(self.device)
        with torch.inference_mode():
            return [self.network.features(pixels).cpu().numpy()]


def own_network(body):
    """The ImageNetwork of a torch module, in evaluation mode."""
    if not isinstance(body, torch.nn.Module):
        raise ValueError(
            f"backbone must make a torch.nn.Module, got {type(body).__name__}: a module from "
            "pixels (n, 3, H, W) to features (n, n_features)."
        )
    replace_dropout(body)
    return ImageNetwork(body).eval()


def module_hash(network):
    """sha256 of the tensors of a network."""
    digest = sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def folder_network(content, weights=True):
    """The ImageNetwork of a folder in transformers' format, without its classifier.

    Parameters
    ----------
    content : FolderContent
    weights : bool
        False: they are not read, because they will be replaced.
    """
    transformers: Any = import_optional("transformers", extra="vision", purpose="ImageClassifier")
    with tempfile.TemporaryDirectory(prefix="sklearn_dl_") as folder:
        Path(folder, "config.json").write_bytes(content.read("config.json"))
        try:
            config = transformers.AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        # transformers lets errors of json and its own through
        except Exception as error:
            raise ValueError(f"{content.name}: config.json cannot be used: {error}") from error
    mapping = transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    if type(config) not in mapping:
        raise ValueError(
            f"{content.name}: {config.model_type!r} is no image classifier that transformers "
            "knows (ResNet, ConvNeXT, ViT, Swin, MobileNetV2, ...)."
        )
    model_class: Any = mapping[type(config)]
    if isinstance(model_class, (list, tuple)):
        model_class = model_class[0]
    with torch.random.fork_rng([]):
        if weights:
            try:
                state: dict = {}
                for name in content.weights():
                    state.update(load_tensors(content.read(name)))
            except SafetensorError as error:
                raise ValueError(f"{content.name}: {name} is damaged: {error}") from error
            model, report = model_class.from_pretrained(
                None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True
            )
            missing = sorted(report["missing_keys"])
            missing = [key for key in missing if key.split(".")[0] not in ("classifier", "head")]
            if missing:
                raise ValueError(
                    f"{content.name}: its weights lack {len(missing)} of the network's tensors, "
                    f"such as {missing[0]!r}: config.json and the weights are of different models."
                )
        else:
            model = model_class(config)
    _take_classifier_off(model, config.num_labels, content)
    network = own_network(_Logits(model))
    for tensor in [*network.parameters(), *network.buffers()]:
        tensor.data = tensor.data.clone()  # not views into a file's bytes
    return network


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


def folder_pixels(content):
    """Arguments of PixelExtractor from a folder's preprocessor_config.json, or None."""
    if "preprocessor_config.json" not in content.names():
        return None
    try:
        asked = json.loads(content.read("preprocessor_config.json"))
        rescale = asked.get("rescale_factor", 1 / 255) if asked.get("do_rescale", True) else 1.0
        mean, std = [0.0] * 3, [1.0] * 3
        if asked.get("do_normalize", True):
            mean, std = asked["image_mean"], asked["image_std"]
        return {
            "offset": tuple(float(m) / rescale for m in mean),
            "scale": tuple(rescale / float(s) for s in std),
        }
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(
            f"{content.name}: preprocessor_config.json cannot be used: {error!r}"
        ) from error
