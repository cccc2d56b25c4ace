"""The torch networks of the text estimators. Importing this module imports torch."""

import math
from abc import abstractmethod

import tokenizers
import torch

from sklearn_dl.models._folder_safety import LARGEST_VOCABULARY, part_file, tensor_shapes
from sklearn_dl.models._transformers import (
    explained,
    load_config,
    load_model,
    quiet,
    read_weights,
    transformers,
)
from sklearn_dl.models._transformers import load_tokenizer as load_plain_tokenizer
from sklearn_dl.text import _attention
from sklearn_dl.text._layers import Normalize, load_layers, pool
from sklearn_dl.text._modules import read_modules
from sklearn_dl.text._tokenizer import Tokenizer
from sklearn_dl.training._dropout import Dropout, replace_dropout
from sklearn_dl.training._lookup_table import use_lookup_tables
from sklearn_dl.training._network_with_head import NetworkWithHead

_TOKENIZER_FILES = {"tokenizer.json", "vocab.txt", "vocab.json"}


class TextNetwork(NetworkWithHead):
    """A network that computes embeddings of texts or of their tokens, and a linear head on them.

    Parameters
    ----------
    encoder : torch.nn.Module
        Returns an embedding for each token.
    layers : torch.nn.Sequential
        The layers after the pooling.
    width : int
        Number of values of an embedding.
    normalize : bool
        Whether `embed` scales embeddings to length 1. The head takes embeddings without scaling.
    """

    # whether padding would change the embedding of a text; if so, nothing is padded
    sees_padding = False
    # largest number of tokens that the encoder can read
    max_tokens: float = math.inf
    # number of values of the embedding of a token
    token_width: int

    def __init__(self, encoder, layers, width, normalize):
        super().__init__(width)
        self.encoder = encoder
        self.layers = layers
        self.width = width
        self.normalize = Normalize() if normalize else torch.nn.Identity()
        self.dropout: torch.nn.Module = Dropout(0.1)
        # added to the token embeddings of an encoder that ignores letter case
        self.word_shapes = None

    @property
    def body(self):
        return self.encoder

    @abstractmethod
    def pool_tokens(self, ids, mask, types):
        """Compute the embeddings of the tokens, and pool those of each text, as float32."""

    @abstractmethod
    def token_vectors(self, ids, mask, types=None, shapes=None):
        """The encoder's embeddings of tokens, float32 of shape (n_rows, n_tokens, token_width).

        `shapes` has the word shape of each token, if the network has `word_shapes`.
        """

    @property
    @abstractmethod
    def token_embeddings(self):
        """The first layer of the encoder, which looks up an embedding for the id of each token."""

    def add_word_shapes(self, n_shapes):
        """Add an embedding of word shapes. It is zero, and changes nothing before training."""
        embeddings = self.token_embeddings.weight
        table = torch.zeros(n_shapes, embeddings.shape[1], device=embeddings.device)
        self.word_shapes = torch.nn.Embedding.from_pretrained(table, freeze=False)

    def embed_tokens(self, ids, shapes):
        """The first layer's embeddings of tokens, plus those of their word shapes."""
        vectors = self.token_embeddings(ids)
        assert self.word_shapes is not None
        return vectors + self.word_shapes(shapes).to(vectors.dtype)

    def token_outputs(self, ids, mask, types=None, shapes=None):
        """The head's outputs for each token, of shape (n_rows, n_tokens, n_outputs)."""
        assert self.head is not None
        return self.head(self.dropout(self.token_vectors(ids, mask, types, shapes))).float()

    @abstractmethod
    def layers_to_train(self):
        """The layers of the encoder, in their order."""

    def pooled(self, ids, mask, types=None):
        """The embeddings that the head takes, float32 of shape (n_rows, width)."""
        return self.layers(self.pool_tokens(ids, mask, types)).float()

    def embed(self, ids, mask, types=None):
        """The embeddings for comparing texts. They have length 1 if the model asks for it."""
        return self.normalize(self.pooled(ids, mask, types))

    def forward(self, ids, mask, types=None):
        """The head's outputs, of shape (n_rows, n_outputs)."""
        assert self.head is not None
        return self.head(self.dropout(self.pooled(ids, mask, types))).float()

    def train_last(self, n_layers):
        """Make the last `n_layers` encoder layers (or "all") and what follows trainable."""
        self.requires_grad_(True)
        if n_layers == "all":
            return
        layers = self.layers_to_train()
        if n_layers > len(layers):
            raise ValueError(
                f"trainable_layers={n_layers}, but the encoder has {len(layers)} layers. With "
                '"all", its token embeddings are also trained.'
            )
        self.encoder.requires_grad_(False)
        for layer in layers[-n_layers:]:
            layer.requires_grad_(True)


class TransformerNetwork(TextNetwork):
    """A TextNetwork whose encoder is a transformer.

    Parameters
    ----------
    encoder : transformers.PreTrainedModel
    pooling : sequence of str
        Some of `POOLINGS`.
    layers, width, normalize
        As in `TextNetwork`.
    """

    def __init__(self, encoder, pooling, layers, width, normalize):
        super().__init__(encoder, layers, width, normalize)
        config = encoder.config
        self.token_width = config.hidden_size
        self.pooling = pooling
        self.max_tokens = _max_tokens(encoder)
        self.sees_padding = config.model_type in _SEE_PADDING
        self._attention = config._attn_implementation
        rates = [getattr(config, name, None) for name in _DROPOUT_NAMES]
        self.dropout = Dropout(next((rate for rate in rates if rate is not None), 0.1))

    def move_to(self, device):
        """Move to `device`, and compute attention in the way that is fastest there."""
        # on a CPU, matrix products are faster than torch's fused attention, especially in training
        attention = self._attention
        if device.type == "cpu" and self.max_tokens <= _MAX_TOKENS_OF_MATRIX_PRODUCTS:
            ours = self._attention == "sdpa" and self.encoder._supports_attention_backend
            attention = _attention.NAME if ours else "eager"
        self.encoder.set_attn_implementation(attention)
        return self.to(device)

    def token_vectors(self, ids, mask, types=None, shapes=None):
        options = {} if types is None else {"token_type_ids": types}
        if shapes is None:
            options["input_ids"] = ids
        else:
            options["inputs_embeds"] = self.embed_tokens(ids, shapes)
        return self.encoder(attention_mask=mask, **options).last_hidden_state.float()

    @property
    def token_embeddings(self):
        return self.encoder.get_input_embeddings()

    def pool_tokens(self, ids, mask, types):
        return pool(self.token_vectors(ids, mask, types), mask, self.pooling)

    def layers_to_train(self):
        n_layers = self.encoder.config.num_hidden_layers
        for module in self.encoder.modules():
            if isinstance(module, torch.nn.ModuleList) and len(module) == n_layers:
                return module
        raise ValueError(
            f"The layers of {type(self.encoder).__name__} were not found: set trainable_layers to "
            '"all" or 0.'
        )


class StaticNetwork(TextNetwork):
    """A TextNetwork whose encoder is a table of token embeddings, which are pooled by their mean.

    Parameters
    ----------
    table : torch.nn.Embedding
    layers, width, normalize
        As in `TextNetwork`.
    """

    def __init__(self, table, layers, width, normalize):
        super().__init__(table, layers, width, normalize)
        self.token_width = table.embedding_dim

    def move_to(self, device):
        return self.to(device)

    def token_vectors(self, ids, mask, types=None, shapes=None):
        return (self.encoder(ids) if shapes is None else self.embed_tokens(ids, shapes)).float()

    @property
    def token_embeddings(self):
        return self.encoder

    def pool_tokens(self, ids, mask, types):
        vectors = self.token_vectors(ids, mask)
        # without a mask, the mean of a text without tokens would be NaN instead of 0
        mask = torch.ones_like(ids) if mask is None else mask
        return pool(vectors, mask, ("mean",))

    def layers_to_train(self):
        return []


# types of models whose convolutions, Fourier transforms or poolings over tokens ignore the mask
_SEE_PADDING = ("convbert", "fnet", "funnel", "nystromformer")
# for more tokens, the matrix of all pairs of tokens takes too much memory
_MAX_TOKENS_OF_MATRIX_PRODUCTS = 512
_ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")
_DROPOUT_NAMES = ("classifier_dropout", "hidden_dropout_prob", "dropout", "mlp_dropout")


def load_network(content, trained=None):
    """Load the network of a pretrained encoder, on the CPU and in evaluation mode.

    Parameters
    ----------
    content : FolderContent
        It can lack the weights if `trained` contains all of them.
    trained : dict of Tensor or None
        Tensors that replace the pretrained ones of the same name, and those of the head and of the
        word shapes. None: the network has no head.

    Raises
    ------
    ValueError
        If the model is not a text encoder, or its files are damaged or do not match.
    """
    with quiet():
        with explained(content, "modules.json"):
            modules = read_modules(content)
        load = _load_transformer if modules.static is None else _load_static
        return finished(load(content, modules, trained), trained)


def finished(network, trained):
    """Give a loaded network its `trained` tensors, if any, and prepare it for scoring."""
    if trained is not None:
        if "head.weight" in trained:
            network.make_head(*trained["head.weight"].shape[::-1])
        if "word_shapes.weight" in trained:
            network.add_word_shapes(len(trained["word_shapes.weight"]))
        network.load_state_dict(trained, strict=False)
    # copy the tensors: they may be views of a file's bytes, which could change, and results would
    # differ slightly because views are not aligned as torch's own tensors are
    for tensor in [*network.parameters(), *network.buffers()]:
        tensor.data = tensor.data.clone()
    return network.eval()


def _load_transformer(content, modules, trained):
    """Load a TransformerNetwork with the weights of `content`, or of `trained` if it has none."""
    config, state, shapes = load_parts(content, trained)
    encoder = _load_encoder(content, config, state, shapes)
    width = len(modules.pooling) * config.hidden_size
    with explained(content, "modules.json"):
        layers, width = load_layers(content, modules.layers, width, trained)
    with explained(content, "config.json"):
        return TransformerNetwork(encoder, modules.pooling, layers, width, modules.normalize)


def load_parts(content, trained):
    """Load the parts of a transformer, with the weights of `content` if it has any.

    Returns
    -------
    config : PreTrainedConfig
    state : dict of Tensor
        The weights by name. If `content` has none: those of the encoder in `trained`.
    shapes : dict of tuple of int
    """
    weights = content.weights()
    if weights:
        shapes = tensor_shapes(content)
        config = _load_config(content, shapes)
        return config, read_weights(content, weights), shapes
    state = _encoder_part(trained)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return _load_config(content, shapes), state, shapes


def _load_static(content, modules, trained):
    with explained(content, "weights"):
        if content.has_weights():
            name = part_file(modules.static, "model.safetensors", content.names())
            table = _table(read_weights(content, [name]))
        else:
            table = _encoder_part(trained)["weight"]
        encoder = torch.nn.Embedding.from_pretrained(table, freeze=False)
    with explained(content, "modules.json"):
        layers, width = load_layers(content, modules.layers, table.shape[1], trained)
    network = StaticNetwork(encoder, layers, width, modules.normalize)
    use_lookup_tables(network)
    return network


def _table(state):
    """The table of token embeddings in a file that sentence-transformers or model2vec has saved."""
    table = state["embedding.weight" if "embedding.weight" in state else "embeddings"]
    if table.ndim != 2 or not table.is_floating_point():
        raise ValueError(
            f"the table of token embeddings has shape {tuple(table.shape)} and dtype {table.dtype};"
            " it must be a matrix of floating-point numbers"
        )
    if "embedding.weight" not in state:
        if "mapping" in state:
            table = table[state["mapping"].long()]
        if "weights" in state:
            table = table.float() * state["weights"].float()[:, None]
    return table.float()


def _encoder_part(trained):
    """The tensors of the encoder, from the tensors of a network."""
    prefix = "encoder."
    return {k.removeprefix(prefix): t for k, t in trained.items() if k.startswith(prefix)}


def load_tokenizer(content, max_length):
    """Load the Tokenizer of a pretrained encoder."""
    with quiet():
        with explained(content, "modules.json"):
            modules = read_modules(content)
        load = _load_static_tokenizer if modules.static is not None else _load_transformer_tokenizer
        tokenizer, n_known = load(content, modules)
        special = modules.static is None
        with explained(content, "tokenizer"):
            n_special = max(map(tokenizer.num_special_tokens_to_add, (True, False))) * special
            n_prompt = len(tokenizer.tokenize(modules.prompt)) if modules.prompt else 0
    if len(tokenizer) > n_known:
        raise ValueError(
            f"{content.name}: the tokenizer has {len(tokenizer)} tokens, but the encoder knows "
            f"only {n_known} (config.json)."
        )
    if max_length <= n_special + n_prompt:
        prompt = f" and {n_prompt} tokens of the default prompt" if n_prompt else ""
        raise ValueError(
            f"max_length={max_length} leaves no room for a text: each text gets {n_special} "
            f"special tokens{prompt}."
        )
    with explained(content, "tokenizer"):
        return Tokenizer(tokenizer, max_length, modules.prompt, special)


def _load_transformer_tokenizer(content, modules):
    """Load the tokenizer of a transformer; also return how many tokens its encoder knows."""
    names = content.names()
    if not any(name in _TOKENIZER_FILES or name.endswith(".model") for name in names):
        raise FileNotFoundError(
            f"{content.name} has no tokenizer: tokenizer.json, or the files that it is made from, "
            "must be in the folder of config.json (tokenizer.save_pretrained(folder) writes them)."
        )
    config = _load_config(content, tensor_shapes(content))
    tokenizer = load_plain_tokenizer(content, config)
    with explained(content, "tokenizer"):
        if modules.lower_case:
            _read_lower_case(tokenizer)
    return tokenizer, config.vocab_size


def _read_lower_case(tokenizer):
    """Make a tokenizer turn texts into lower case, like sentence-transformers' do_lower_case."""
    if not tokenizer.is_fast:
        raise ValueError("do_lower_case is not supported for a tokenizer that is written in Python")
    backend = tokenizer.backend_tokenizer
    parts = [tokenizers.normalizers.Lowercase()]
    if backend.normalizer is not None:
        parts.append(backend.normalizer)
    backend.normalizer = tokenizers.normalizers.Sequence(parts)


def _load_static_tokenizer(content, modules):
    """Load the tokenizer of a static embedding; also return how many tokens its table has."""
    with explained(content, "tokenizer"):
        name = part_file(modules.static, "tokenizer.json", content.names())
        if content.size(name) > LARGEST_VOCABULARY:
            raise ValueError(f"{name} is larger than {LARGEST_VOCABULARY // 2**20} MB")
        made = tokenizers.Tokenizer.from_str(content.read(name).decode())
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made)
    with explained(content, "weights"):
        if not content.has_weights():
            return tokenizer, len(tokenizer)
        name = part_file(modules.static, "model.safetensors", content.names())
        return tokenizer, len(_table(read_weights(content, [name])))


def _max_tokens(encoder):
    """The largest number of tokens that an encoder can read; infinity if there is no limit."""
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa and similar encoders count positions from padding_idx + 1
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - offset
    return getattr(encoder.config, "max_position_embeddings", None) or math.inf


def _load_config(content, shapes):
    """Load the config of a text encoder, with full attention and no dropout on it."""

    def check(config_class, values):
        """Raise an error if the model is not a text encoder."""

        def is_(what):
            return values.get(what, getattr(config_class, what, False))

        if is_("is_encoder_decoder"):
            kind = "an encoder-decoder"
        elif is_("is_decoder"):
            kind = "a decoder"
        elif config_class not in transformers.MODEL_FOR_MASKED_LM_MAPPING:
            kind = "not an encoder of text"
        elif config_class.model_type == "reformer":
            kind = "an encoder that draws random numbers for each text"
        else:
            return
        raise ValueError(
            f"{content.name}: {config_class.model_type!r} is {kind}. Set `model` to a text encoder "
            "(BERT, DistilBERT, RoBERTa, MPNet, DeBERTa, ELECTRA, ModernBERT, XLM-R, ...)."
        )

    config = load_config(content, shapes, check)
    if config.model_type == "big_bird":
        # with sparse attention, results would depend on the texts that were read before
        config.attention_type = "original_full"
    # dropout on attention would take a quarter of the time of a training step on a CPU
    for name in _ATTENTION_DROPOUT_NAMES:
        if hasattr(config, name):
            setattr(config, name, 0.0)
    return config


def _load_encoder(content, config, state, shapes):
    """Load a transformer without its pooler, and with faster layers for dropout and embeddings."""
    model_class = transformers.MODEL_MAPPING[type(config)]
    if isinstance(model_class, tuple):  # Funnel: the first returns an embedding for each token
        model_class = model_class[0]
    encoder = load_model(content, model_class, config, state, shapes, _is_pooler, "encoder")
    if hasattr(encoder, "pooler"):
        # its results are not used; an Identity is neither trained nor saved
        encoder.pooler = torch.nn.Identity()
    make_faster(encoder)
    return encoder


def make_faster(model):
    """Replace dropout and token embeddings of a transformers model by faster ones."""
    replace_dropout(model)
    use_lookup_tables(model)
    encoder = model.base_model
    if hasattr(encoder, "embeddings"):
        encoder.embeddings.register_forward_hook(_in_autocast_dtype)


def _is_pooler(name):
    return "pooler" in name.split(".")


def _in_autocast_dtype(module, arguments, hidden):
    """Cast the input of the first layer to the dtype of autocast.

    Without this, casts in each layer would take a tenth of the time of a training step.
    """
    device = hidden.device.type
    if not torch.is_autocast_enabled(device):
        return hidden
    return hidden.to(torch.get_autocast_dtype(device))
