"""Backbones of ImageClassifier: pretrained networks from pixels to features, wherever they are."""

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
from sklearn_dl.models._onnx import from_path, parse
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
from sklearn_dl.vision._image_rows import digest_or_none

# (pixel / 255 - mean) / std of ImageNet, for whatever does not say what it wants
IMAGENET_PIXELS = {
    "offset": (123.675, 116.28, 103.53),
    "scale": (1 / 58.395, 1 / 57.12, 1 / 57.375),
}


@dataclass(frozen=True)
class Backbone(ABC):
    """The content of a backbone, and how its input is made.

    Attributes
    ----------
    content : OnnxModel, FolderContent or _Module
    pixels : dict
        Arguments of PixelExtractor.
    """

    content: Any
    pixels: dict

    @property
    def is_identified(self):
        """Whether two networks of one `sha256` compute the same."""
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
        """Whether its files are known to be what they were."""
        return False

    def for_pickle(self, embed):
        return replace(self, content=self.content.for_pickle(embed))

    @abstractmethod
    def network(self, weights=True):
        """The ImageNetwork, on the CPU; without its weights if they are to be replaced."""


@dataclass(frozen=True)
class OnnxBackbone(Backbone):
    """An ONNX graph; `registered` names a model whose torch module is known too."""

    registered: str | None = None

    def network(self, weights=True):
        from sklearn_dl.vision._image_network import own_network

        body = torch_network(self.registered, weights) if self.registered else None
        if body is None:
            raise ValueError(
                f"{self.content.name} is an ONNX graph, of which the head only can be trained: "
                "set trainable_layers=0, or give a folder in transformers' format, a registered "
                "model or a callable that makes a torch.nn.Module."
            )
        return own_network(body)

    def session(self, n_threads, providers):
        output = _feature_output(self.content)
        return shared_session(self.content, (output,), n_threads, providers)


@dataclass(frozen=True)
class FolderBackbone(Backbone):
    """A folder that transformers' AutoModelForImageClassification loads."""

    def is_unchanged(self):
        return self.content.is_unchanged()

    def network(self, weights=True):
        from sklearn_dl.vision._folder_network import folder_network

        return folder_network(self.content, weights)


@dataclass(frozen=True)
class ModuleBackbone(Backbone):
    """What a callable of the user makes."""

    @property
    def is_identified(self):
        """Whether the person wrote a version: tensors and names do not tell an edited `forward`."""
        return self.content.version is not None

    def network(self, weights=True):
        from sklearn_dl.vision._image_network import own_network

        made = self.content.network
        return own_network(self.content.make()) if made is None else copy.deepcopy(made)


class _Module:
    """What a callable of the user makes, made once, its version and its hash."""

    data = None
    name = "a network of a callable"

    def __init__(self, make):
        from sklearn_dl.vision._image_network import module_hash, own_network

        self.make = make
        self.network = own_network(make())
        self.version = version_of(make)
        self.sha256 = module_hash(self.network, self.version)
        # what the same callable makes another time may be another network
        self.identity = uuid.uuid4().hex

    def n_bytes(self):
        return sum(tensor.nbytes for tensor in self.network.state_dict().values())

    def for_pickle(self, embed):
        stripped = copy.copy(self)
        stripped.network = None
        return stripped


def version_of(function):
    """The attribute `version` that a person gave to a callable, or None."""
    version = getattr(function, "version", None)
    # a class of modules may have a property of that name
    return version if isinstance(version, (str, int)) else None


def find_backbone(model):
    """The Backbone that an estimator's parameter means.

    Parameters
    ----------
    model : str, Path or callable
        A registered name, an ONNX file, a folder in transformers' format, or what makes a module.

    Raises
    ------
    FileNotFoundError
        If it is a name or path of nothing.
    ValueError
        If it is no model.
    """
    if hasattr(model, "state_dict") and not isinstance(model, type):
        raise ValueError(
            "model is a torch module; give a callable that makes it, so that a fit can start "
            "anew: model=lambda: copy.deepcopy(module)."
        )
    if callable(model):
        return ModuleBackbone(_Module(model), IMAGENET_PIXELS)
    found = find_path(model, "a file, nor a folder,", "model")
    if os.path.isdir(found.path):
        content = folder_content(found.path)
        return FolderBackbone(content, found.pixels or _folder_pixels(content) or IMAGENET_PIXELS)
    content = from_path(found.path)
    return OnnxBackbone(content, found.pixels or IMAGENET_PIXELS, found.name)


def _folder_pixels(content):
    """Arguments of PixelExtractor from a folder's preprocessor_config.json, or None."""
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
            f"{content.name}: preprocessor_config.json cannot be used: {error!r}"
        ) from error


@also_clear
@lru_cache(maxsize=32)
def _feature_output(content):
    names = [output.name for output in parse(content.read(), content.name).graph.output]
    if "features" in names:
        return "features"
    if len(names) == 1:
        return names[0]
    raise ValueError(
        f"{content.name} has the outputs {names}: a backbone has one output, or one called "
        "'features'. Cut the graph with onnx.utils.extract_model."
    )


class FittedImageNetwork(FittedNetwork):
    """A FittedNetwork of a Backbone."""

    content: Backbone

    @property
    def needs_torch(self):
        return self.is_trained or not isinstance(self.content, OnnxBackbone)

    def features(self, rows, where):
        where = self.resolved(where)

        def compute(positions):
            some = rows.take(positions)
            array = pixel_array(some, self.content.pixels)
            if not self.needs_torch:
                found = onnx_features(self._whole_content().session, array, where)
            else:
                network = self.on(where.device, where.precision)
                found = torch_features(network, array, where)
            return checked_features(some, *found)

        if where.memory is None or self.is_trained or not self.content.is_identified:
            return compute(np.arange(len(rows)))
        store = FeatureStore(
            where.memory, (self.content.sha256, self.content.pixels, self._runs_on(where))
        )
        digests = map(digest_or_none, pixel_array(rows, self.content.pixels).images)
        keys = [None if digest is None else store.key(digest) for digest in digests]
        return computed_once(keys, compute, store)

    def feed(self, rows, network):
        from sklearn_dl.vision._feed import ImageFeed

        return ImageFeed(rows, self.content.pixels)

    def check(self, trainable_layers):
        self.content.network(weights=False).train_last(trainable_layers)

    def _runs_on(self, where):
        """What features depend on besides the network and the image."""
        if not self.needs_torch:
            return "onnxruntime", resolve_providers(onnx_providers(where.device))
        return str(where.device), where.precision

    def for_pickle(self, content):
        """A copy without anything live, that carries `content`."""
        trained = self.trained_bytes()
        if trained is None and isinstance(self.content, ModuleBackbone):
            # what the callable makes elsewhere may be another network
            trained = self.with_live(self._pretrained()).trained_bytes()
        return FittedImageNetwork(self.model, content, trained=trained)

    def _tensors_to_keep(self, network):
        return network.state_dict()

    def _key(self):
        return "image network", getattr(self.content.content, "identity", self.content.sha256)

    def _has_all(self):
        return self.content.data is not None or isinstance(self.content, ModuleBackbone)

    def _find(self):
        return find_backbone(self.model)

    def _pretrained(self):
        return self._whole_content().network()

    def _load(self):
        from safetensors.torch import load

        tensors = load(self.trained)
        small = isinstance(self.content, FolderBackbone) and self.content.data is None
        content = self._whole_content() if small else self.content
        network = content.network(weights=False)
        if "head.weight" in tensors:
            network.make_head(*tensors["head.weight"].shape[::-1])
        network.load_state_dict(tensors)
        return network
