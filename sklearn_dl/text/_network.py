"""The torch network behind the text estimators. Importing this module imports torch."""

import math

import torch

from sklearn_dl.models._folder_safety import part_config, tensor_shapes
from sklearn_dl.models._transformers import (
    explained,
    load_config,
    load_model,
    load_tokenizer,
    quiet,
    read_weights,
    transformers,
)
from sklearn_dl.text import _attention
from sklearn_dl.text._tokens import Tokens
from sklearn_dl.training._dropout import Dropout, replace_dropout
from sklearn_dl.training._embedding import replace_embeddings
from sklearn_dl.training._network import NetworkWithHead

_TOKENIZER_FILES = {"tokenizer.json", "vocab.txt", "vocab.json"}


class TextNetwork(NetworkWithHead):
    """An encoder, the pooling of its tokens into one vector, and a linear head.

    Parameters
    ----------
    encoder : transformers.PreTrainedModel
    pooling : {"mean", "cls", "max"}
    normalize : bool
        Whether embeddings have length 1. The head reads them as they were before.
    n_outputs : int
        Of the head; 0: there is none.
    """

    def __init__(self, encoder, pooling, normalize, n_outputs=0):
        super().__init__(encoder.config.hidden_size, n_outputs)
        self.encoder = encoder
        self.pooling = pooling
        self.normalize = normalize
        self.max_tokens = _max_tokens(encoder)
        self._attention = encoder.config._attn_implementation
        config = encoder.config
        rates = [getattr(config, name, None) for name in _DROPOUT_NAMES]
        self.dropout = Dropout(next((rate for rate in rates if rate is not None), 0.1))

    def place(self, device):
        """Move to `device`, and compute attention in the way that is fastest there."""
        # on a CPU matrix products are faster than torch's fused attention, most of all backwards
        attention = self._attention
        if device.type == "cpu" and self.max_tokens <= _MAX_TOKENS_OF_MATRIX_PRODUCTS:
            ours = self._attention == "sdpa" and self.encoder._supports_attention_backend
            attention = _attention.NAME if ours else "eager"
        self.encoder.set_attn_implementation(attention)
        return self.to(device)

    @property
    def body(self):
        return self.encoder

    def pooled(self, ids, mask, types=None):
        """float32 vectors of shape (n_rows, hidden_size)."""
        asked = {} if types is None else {"token_type_ids": types}
        hidden = self.encoder(input_ids=ids, attention_mask=mask, **asked).last_hidden_state.float()
        if self.pooling == "cls":
            return hidden[:, 0]
        if mask is None:
            return hidden.amax(1) if self.pooling == "max" else hidden.mean(1)
        if self.pooling == "max":
            return hidden.masked_fill(mask[..., None] == 0, -math.inf).amax(1)
        weights = mask[..., None].float()
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)

    def embed(self, ids, mask, types=None):
        """Vectors for comparing texts."""
        pooled = self.pooled(ids, mask, types)
        return torch.nn.functional.normalize(pooled, dim=1) if self.normalize else pooled

    def forward(self, ids, mask, types=None):
        """The head's outputs, of shape (n_rows, n_outputs)."""
        assert self.head is not None
        return self.head(self.dropout(self.pooled(ids, mask, types))).float()

    def train_last(self, n_layers):
        """Freeze all but the last `n_layers` layers of the encoder and the head."""
        self.requires_grad_(True)
        if n_layers == "all":
            return
        layers = _layers(self.encoder)
        if n_layers > len(layers):
            raise ValueError(
                f'trainable_layers={n_layers}, but the encoder has {len(layers)} layers; "all" '
                "trains its embeddings too."
            )
        self.encoder.requires_grad_(False)
        for layer in layers[-n_layers:]:
            layer.requires_grad_(True)


# beyond, the matrix of all pairs of tokens takes too much memory
_MAX_TOKENS_OF_MATRIX_PRODUCTS = 512
_ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")
_DROPOUT_NAMES = ("classifier_dropout", "hidden_dropout_prob", "dropout", "mlp_dropout")


def _layers(encoder):
    n_layers = encoder.config.num_hidden_layers
    for module in encoder.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == n_layers:
            return module
    raise ValueError(
        f'trainable_layers: the layers of {type(encoder).__name__} were not found; use "all" or 0.'
    )


def load_network(content, n_outputs=0, trained=None):
    """The network of a pretrained encoder, on the CPU, in evaluation mode.

    Parameters
    ----------
    content : FolderContent
        Without weights if `trained` holds all of them.
    n_outputs : int
        Of the head, whose weights are not set unless they are in `trained`.
    trained : dict of Tensor or None
        Replace the pretrained ones of the same name.

    Raises
    ------
    ValueError
        If the model is no encoder, or its files are damaged or do not fit each other.
    """
    with quiet():
        weights = content.weights()
        if weights:
            shapes = tensor_shapes(content)
        else:
            state = _encoder_part(trained)
            shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        config = _load_config(content, shapes)
        pooling, normalize = _pooling(content)
        if weights:
            state = read_weights(content, weights)
        encoder = _load_encoder(content, config, state, shapes)
        with explained(content, "config.json"):
            network = TextNetwork(encoder, pooling, normalize, n_outputs)
    if trained is not None:
        network.load_state_dict(trained, strict=False)
    # views into a file's bytes are not aligned as torch's own tensors are: other bits, and the
    # file could change under them
    for tensor in [*network.parameters(), *network.buffers()]:
        tensor.data = tensor.data.clone()
    return network.eval()


def _encoder_part(trained):
    prefix = "encoder."
    return {k.removeprefix(prefix): t for k, t in trained.items() if k.startswith(prefix)}


def load_tokens(content, max_length):
    """The tokenizer of a pretrained encoder."""
    names = content.names()
    if not any(name in _TOKENIZER_FILES or name.endswith(".model") for name in names):
        raise FileNotFoundError(
            f"{content.name} has no tokenizer: tokenizer.json, or the files that it is made from, "
            "must be beside config.json (tokenizer.save_pretrained(folder) writes them)."
        )
    with quiet():
        config = _load_config(content, tensor_shapes(content))
        tokenizer = load_tokenizer(content, config)
        with explained(content, "tokenizer"):
            n_special = max(map(tokenizer.num_special_tokens_to_add, (True, False)))
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"{content.name}: the tokenizer has {len(tokenizer)} tokens, the encoder knows "
            f"{config.vocab_size} (config.json)."
        )
    if max_length <= n_special:
        raise ValueError(
            f"max_length={max_length} leaves no room beside {n_special} special tokens."
        )
    with explained(content, "tokenizer"):
        return Tokens(tokenizer, max_length)


def _max_tokens(encoder):
    """How many tokens an encoder can read at once."""
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa and its kin count from the number after the padding's
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - offset
    return getattr(encoder.config, "max_position_embeddings", None) or math.inf


def _load_config(content, shapes):
    def check(config_class, values):
        def is_(what):
            return values.get(what, getattr(config_class, what, False))

        if is_("is_encoder_decoder"):
            kind = "an encoder-decoder"
        elif is_("is_decoder"):
            kind = "a decoder"
        elif config_class not in transformers.MODEL_FOR_MASKED_LM_MAPPING:
            kind = "not an encoder of text"
        else:
            return
        raise ValueError(
            f"{content.name}: {config_class.model_type!r} is {kind}. Give a text encoder (BERT, "
            "DistilBERT, RoBERTa, MPNet, DeBERTa, ELECTRA, ModernBERT, XLM-R, ...)."
        )

    config = load_config(content, shapes, check)
    # drawing its random numbers would be a quarter of a training step on a CPU
    for name in _ATTENTION_DROPOUT_NAMES:
        if hasattr(config, name):
            setattr(config, name, 0.0)
    return config


def _load_encoder(content, config, state, shapes):
    model_class = transformers.MODEL_MAPPING[type(config)]
    encoder = load_model(content, model_class, config, state, shapes, _is_pooler, "encoder")
    if hasattr(encoder, "pooler"):
        # what it computes is not used; without it, it is neither trained nor saved
        encoder.pooler = torch.nn.Identity()
    replace_dropout(encoder)
    replace_embeddings(encoder)
    if hasattr(encoder, "embeddings"):
        encoder.embeddings.register_forward_hook(_in_autocast_dtype)
    return encoder


def _is_pooler(name):
    return "pooler" in name.split(".")


def _in_autocast_dtype(module, arguments, hidden):
    """In bfloat16 from the first layer on: casts in each layer would cost a tenth of a step."""
    device = hidden.device.type
    if not torch.is_autocast_enabled(device):
        return hidden
    return hidden.to(torch.get_autocast_dtype(device))


def _pooling(content):
    """The pooling that sentence-transformers' files ask for, else the mean."""
    pooling, normalize = "mean", False
    names = content.names()
    if "modules.json" not in names:
        return pooling, normalize
    with explained(content, "modules.json"):
        for module in content.read_json("modules.json", list):
            kind = module["type"].rpartition(".")[2]
            if kind == "Pooling":
                pooling = _pooling_mode(content.read_json(part_config(module["path"], names)))
            elif kind == "Normalize":
                normalize = True
            elif kind != "Transformer" or module["path"]:
                raise ValueError(f"a module {kind!r} in {module['path']!r} is not supported")
    return pooling, normalize


def _pooling_mode(config):
    asked = config.get("pooling_mode")
    if asked is None:
        flags = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
        found = [mode for mode, flag in flags.items() if config.get(f"pooling_mode_{flag}")]
        others = sum(
            value is True for key, value in config.items() if key.startswith("pooling_mode_")
        )
        asked = found[0] if len(found) == 1 == others else None
    if asked not in ("mean", "cls", "max"):
        raise ValueError("the pooling must be one of mean, cls and max")
    return asked
