"""Backbones of the image estimators: pretrained networks that compute features from pixels."""

import copy
import os
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from sklearn_dl.models._cache import torch_network
from sklearn_dl.models._find import find_path
from sklearn_dl.models._folder import folder_content
from sklearn_dl.models._onnx import from_found, parse
from sklearn_dl.runtimes.onnx._graph import resolve_providers, shared_session
from sklearn_dl.training._feature_store import FeatureStore
from sklearn_dl.training._fitted_network import FittedNetwork
from sklearn_dl.training._once import computed_once
from sklearn_dl.utils._memos import also_clear
from sklearn_dl.vision._features import (
    checked_features,
    onnx_features,
    onnx_providers,
    pixel_array,
    torch_features,
)
from sklearn_dl.vision._image_rows import digests

# (pixel / 255 - mean) / std of ImageNet, for models that do not define how pixels are scaled
IMAGENET_PIXELS = {
    "offset": (123.675, 116.28, 103.53),
    "scale": (1 / 58.395, 1 / 57.12, 1 / 57.375),
}


@dataclass(frozen=True)
class Backbone(ABC):
    """A pretrained network without its head, and the settings of its input.

    Attributes
    ----------
    content : OnnxModel, FolderContent or _Module
        The files or the callable that the network is loaded from.
    pixels : dict
        Arguments of PixelExtractor.
    """

    content: Any
    pixels: dict

    @property
    def is_identified(self):
        """Whether backbones with the same `sha256` compute the same features."""
        return True

    @property
    def sha256(self):
        return self.content.sha256

    @property
    def data(self):
        return self.content.data

    @property
    def name(self):
        return self.content.name

    def n_bytes(self):
        return self.content.n_bytes()

    def is_unchanged(self):
        """Whether it is known that the files have not changed since they were found."""
        return False

    def for_pickle(self, embed):
        return replace(self, content=self.content.for_pickle(embed))

    def without_weights(self):
        """Return a copy for a pickle that contains all weights of the trained network anyway."""
        return self.for_pickle(False)

    @abstractmethod
    def network(self, weights=True, shapes=None):
        """Load the ImageNetwork on the CPU.

        Parameters
        ----------
        weights : bool, default=True
            If False, the weights are random, because the caller replaces them.
        shapes : dict of tuple of int, default=None
            Shapes of the weights that the caller sets, by their names in the body.
        """


@dataclass(frozen=True)
class OnnxBackbone(Backbone):
    """An ONNX graph.

    Attributes
    ----------
    registered : str or None
        Name of the model if it is registered. A registered model may also have a torch module.
    """

    registered: str | None = None

    def network(self, weights=True, shapes=None):
        from sklearn_dl.vision._image_network import image_network

        body = torch_network(self.registered, weights) if self.registered else None
        if body is None:
            raise ValueError(
                f"{self.content.name} is an ONNX graph, whose layers cannot be trained. Set "
                "trainable_layers=0 to fit only a head, or set `model` to a folder in "
                "transformers' format, a registered model or a callable that makes a "
                "torch.nn.Module."
            )
        return image_network(body)

    def session(self, n_threads, providers):
        output = feature_output(self.content)
        return shared_session(self.content, (output,), n_threads, providers)


@dataclass(frozen=True)
class FolderBackbone(Backbone):
    """A folder that transformers' AutoModelForImageClassification loads."""

    def is_unchanged(self):
        return self.content.is_unchanged()

    def without_weights(self):
        return replace(self, content=self.content.without_weights())

    def network(self, weights=True, shapes=None):
        from sklearn_dl.vision._folder_network import folder_network

        return folder_network(self.content, weights, shapes)


@dataclass(frozen=True)
class ModuleBackbone(Backbone):
    """The torch module that the user's callable makes."""

    @property
    def is_identified(self):
        """Whether the callable has a version; the hash alone does not show edits of its code."""
        return self.content.version is not None

    def network(self, weights=True, shapes=None):
        from sklearn_dl.vision._image_network import image_network

        made = self.content.network
        return image_network(self.content.make()) if made is None else copy.deepcopy(made)


class _Module:
    """A callable of the user, the torch module that it has made, its version and its hash."""

    data = None
    name = "a network of a callable"

    def __init__(self, make):
        from sklearn_dl.vision._image_network import image_network, module_hash

        self.make = make
        self.network = image_network(make())
        self.version = version_of(make)
        self.sha256 = module_hash(self.network, self.version)
        # the same callable may make a different network the next time
        self.identity = uuid.uuid4().hex

    def n_bytes(self):
        return sum(tensor.nbytes for tensor in self.network.state_dict().values())

    def for_pickle(self, embed):
        stripped = copy.copy(self)
        stripped.network = None
        return stripped


def version_of(function):
    """Return the attribute `version` that the user set on a callable, or None."""
    version = getattr(function, "version", None)
    # in a class of torch modules the attribute may be a property, which is not a version
    return version if isinstance(version, (str, int)) else None


def find_backbone(model):
    """Find the Backbone that an estimator's parameter `model` stands for.

    Parameters
    ----------
    model : str, Path or callable
        The name of a registered model, the path of an ONNX file or of a folder in transformers'
        format, a repository in the Hugging Face cache, or a callable that makes a torch module.

    Raises
    ------
    FileNotFoundError
        If `model` is neither an existing path nor a known name.
    ValueError
        If `model` stands for something that is not a model, or is a torch module.
    """
    if hasattr(model, "state_dict") and not isinstance(model, type):
        raise ValueError(
            "`model` is a torch module. Set a callable that makes it, so that each fit can start "
            "with a new one: model=lambda: copy.deepcopy(module)."
        )
    if callable(model):
        return ModuleBackbone(_Module(model), IMAGENET_PIXELS)
    found = find_path(model, "a file, nor a folder,", "model")
    if os.path.isdir(found.path):
        content = folder_content(found.path)
        return FolderBackbone(content, found.pixels or _folder_pixels(content) or IMAGENET_PIXELS)
    content = from_found(found)
    return OnnxBackbone(content, found.pixels or IMAGENET_PIXELS, found.name)


def _folder_pixels(content):
    """Return the arguments of PixelExtractor that preprocessor_config.json implies, or None."""
    if "preprocessor_config.json" not in content.names():
        return None
    try:
        asked = content.read_json("preprocessor_config.json")
        rescale = asked.get("rescale_factor", 1 / 255) if asked.get("do_rescale", True) else 1.0
        mean, std = [0.0] * 3, [1.0] * 3
        if asked.get("do_normalize", True) and "image_mean" in asked:
            mean, std = asked["image_mean"], asked["image_std"]
        return {
            "colors": "BGR" if asked.get("do_flip_channel_order") else "RGB",
            "offset": tuple(float(m) / rescale for m in mean),
            "scale": tuple(rescale / float(s) for s in std),
        }
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(
            f"{content.name}: its preprocessor_config.json cannot be used: {error!r}"
        ) from error


@also_clear
@lru_cache(maxsize=32)
def feature_output(content):
    """Return the name of the output of an ONNX graph that contains the features."""
    names = [output.name for output in parse(content.read(), content.name).graph.output]
    if "features" in names:
        return "features"
    if len(names) == 1:
        return names[0]
    raise ValueError(
        f"{content.name} has the outputs {names}, and none of their names shows which one contains "
        "the features. Set `model` to a graph with one output, or with an output called "
        "'features'. To cut the graph, use onnx.utils.extract_model."
    )


class FittedImageNetwork(FittedNetwork):
    """The network of a fitted image estimator. Its `content` is a Backbone."""

    content: Backbone

    @property
    def needs_torch(self):
        return self.is_trained or not isinstance(self.content, OnnxBackbone)

    def features(self, rows, where):
        """Compute the features of ImageRows, or read them from `where.memory` if it has them."""
        where = self.resolved(where)

        def compute(positions):
            some = rows.take(positions)
            array = pixel_array(some, self.content.pixels)
            if not self.needs_torch:
                found = onnx_features(self.whole_content().session, array, where)
            else:
                network = self.on(where.device, where.precision)
                found = torch_features(network, array, where)
            return checked_features(some, *found)

        if where.memory is None or self.is_trained or not self.content.is_identified:
            return compute(np.arange(len(rows)))
        store = FeatureStore(
            where.memory, (self.content.sha256, self.content.pixels, self._runs_on(where))
        )
        images = pixel_array(rows, self.content.pixels).images
        found = digests(images, where.n_threads)
        keys = [None if digest is None else store.key(digest) for digest in found]
        return computed_once(keys, compute, store, done=where.done)

    def feed(self, rows, network):
        from sklearn_dl.vision._feed import ImageFeed

        return ImageFeed(rows, self.content.pixels)

    def check(self, trainable_layers):
        self.content.network(weights=False).train_last(trainable_layers)

    def _runs_on(self, where):
        """The runtime that computes the features: ONNX Runtime's providers, or a torch device."""
        if not self.needs_torch:
            return "onnxruntime", resolve_providers(onnx_providers(where.device))
        return str(where.device), where.precision

    def for_pickle(self, embed_model):
        if not self.is_trained and isinstance(self.content, ModuleBackbone):
            # the callable may make a different network where the pickle is loaded
            return self.with_live(self._pretrained()).for_pickle(embed_model)
        return super().for_pickle(embed_model)

    def _keeps_all(self):
        return True

    def _tensors_to_keep(self, network):
        return network.state_dict()

    def _key(self):
        return "image network", getattr(self.content.content, "identity", self.content.sha256)

    def _has_all(self):
        if isinstance(self.content, FolderBackbone):
            return self.content.data is not None and self.content.content.has_weights()
        return self.content.data is not None or isinstance(self.content, ModuleBackbone)

    def _find(self):
        return find_backbone(self.model)

    def _pretrained(self):
        return self.whole_content().network()

    def _load(self):
        from safetensors.torch import load

        tensors = load(self.trained)
        network = self._untrained(tensors)
        if "head.weight" in tensors:
            network.make_head(*tensors["head.weight"].shape[::-1])
        network.load_state_dict(tensors)
        return network

    def _untrained(self, tensors):
        """The ImageNetwork that the trained `tensors` belong to, with random weights."""
        # the files of the folder define the structure of the module
        needs_files = isinstance(self.content, FolderBackbone) and self.content.data is None
        content = self.whole_content() if needs_files else self.content
        start = "body.model."
        names = [name for name in tensors if name.startswith(start)]
        shapes = {name.removeprefix(start): tuple(tensors[name].shape) for name in names}
        return content.network(weights=False, shapes=shapes)
