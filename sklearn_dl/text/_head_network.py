"""Text networks whose head came with the model's folder. Importing this module imports torch."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch

from sklearn_dl.models._transformers import explained, load_model, quiet, transformers
from sklearn_dl.text._text_network import TransformerNetwork, finished, load_parts, make_faster
from sklearn_dl.training._head import LinearHead

_N_TOKENS_COMPARED = 8
# outputs may differ by this share of the largest one, because matrix products of other shapes round
# differently
_TOLERANCE = 1e-4


class GivenHeadNetwork(TransformerNetwork):
    """A TransformerNetwork whose encoder is a model of transformers without its last layer.

    The last linear layer of the model is the head of this network.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Its last layer is an Identity.
    width : int
        Number of values that the last layer takes.
    """

    def __init__(self, model, width):
        super().__init__(model, ("cls",), torch.nn.Sequential(), width, normalize=False)
        # the model has its own dropout before its last layer
        self.dropout = torch.nn.Identity()

    @abstractmethod
    def features(self, ids):
        """The input of the head for texts of equal length, to compare with the whole model."""

    @staticmethod
    @abstractmethod
    def logits(outputs):
        """The logits among the outputs of the whole model."""

    def train_last(self, n_layers):
        super().train_last(n_layers)
        base = self.encoder.base_model
        parts = [child for child in self.encoder.children() if child is not base]
        for module in [*parts, getattr(base, "pooler", None)]:
            if module is not None:
                module.requires_grad_(True)


class SequenceHeadNetwork(GivenHeadNetwork):
    """The network of a model for sequence classification: the head takes one embedding per text."""

    def pool_tokens(self, ids, mask, types):
        options = {} if types is None else {"token_type_ids": types}
        return self.encoder(input_ids=ids, attention_mask=mask, **options).logits.float()

    def token_vectors(self, ids, mask, types=None, shapes=None):
        raise NotImplementedError("the head of this network reads whole texts")

    def features(self, ids):
        return self.pool_tokens(ids, None, None)

    @staticmethod
    def logits(outputs):
        return outputs.logits


class TokenHeadNetwork(GivenHeadNetwork):
    """The network of a model for token classification: the head takes one embedding per token."""

    def token_vectors(self, ids, mask, types=None, shapes=None):
        options = {} if types is None else {"token_type_ids": types}
        if shapes is None:
            options["input_ids"] = ids
        else:
            options["inputs_embeds"] = self.embed_tokens(ids, shapes)
        base = self.encoder.base_model
        vectors = base(attention_mask=mask, **options).last_hidden_state
        for module in self.encoder.children():
            if module is not base:
                vectors = module(vectors)
        return vectors.float()

    def features(self, ids):
        return self.token_vectors(ids, None)

    @staticmethod
    def logits(outputs):
        return outputs.logits


class AnswerHeadNetwork(TokenHeadNetwork):
    """The network of a model for question answering: for each token two logits, start and end."""

    @staticmethod
    def logits(outputs):
        return torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)


_TASKS = {
    "sequence": (transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, SequenceHeadNetwork),
    "token": (transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING, TokenHeadNetwork),
    "answer": (transformers.MODEL_FOR_QUESTION_ANSWERING_MAPPING, AnswerHeadNetwork),
}


def load_network_with_head(content, given, trained=None):
    """Load a pretrained encoder with the head of its folder, on the CPU and in evaluation mode.

    Parameters
    ----------
    content : FolderContent
        It can lack the weights if `trained` contains all of them.
    given : GivenHead
    trained : dict of Tensor or None
        As in `load_network`. None: the network has the head of the folder, with its outputs in the
        order of `given`.

    Raises
    ------
    ValueError
        If the model is not a text encoder, its files are damaged or do not match, or its outputs
        are not those of a linear layer on features.
    """
    with quiet():
        config, state, shapes = load_parts(content, trained)
        classes, network_class = _TASKS[given.task]
        if type(config) not in classes:
            raise ValueError(
                f"{content.name}: transformers has no head of this kind for {config.model_type!r}."
            )

        def may_lack(name):
            return trained is not None and name.startswith(f"{given.layer}.")

        model = load_model(
            content, classes[type(config)], config, state, shapes, may_lack, "network"
        ).eval()
        with explained(content, "head"):
            network, layer, is_exact = _split(model, given.layer, network_class)
    if not is_exact:
        raise ValueError(
            f"{content.name}: the head of {type(model).__name__} is not a linear layer on "
            'features: it cannot be used. To fit a new head, remove "architectures" from '
            "config.json."
        )
    if trained is None:
        network.add_head(_in_order(layer, given.order))
    return finished(network, trained)


def _split(model, name, network_class):
    """Split a model into a network without a head, and its last layer, which has this name.

    Also return whether the two together compute the outputs of the model.
    """
    layer: Any = model.get_submodule(name)
    ids = torch.arange(2 * _N_TOKENS_COMPARED).reshape(2, -1) % model.config.vocab_size
    with torch.inference_mode():
        expected = network_class.logits(model(input_ids=ids))
    model.set_submodule(name, torch.nn.Identity())
    make_faster(model)
    network = network_class(model, layer.in_features).eval()
    with torch.inference_mode():
        made = layer(network.features(ids))
    limit = _TOLERANCE * float(expected.abs().max())
    return network, layer, torch.allclose(made, expected, rtol=0, atol=limit, equal_nan=True)


def _in_order(layer, order):
    """The outputs of a linear layer in another order, as a LinearHead."""
    weights, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    rows = np.array(order)
    # outputs that come from the same output share its probability
    shared = np.bincount(rows, minlength=len(weights))[rows]
    return LinearHead(weights[rows], bias[rows] - np.log(shared))
