"""From the embeddings of tokens to that of a text: the pooling and the layers after it.

They compute the same values as in sentence-transformers. Importing this module imports torch.
"""

import math

import torch
from torch.nn.utils import skip_init

from sklearn_dl.models._folder_safety import part_file, short
from sklearn_dl.models._transformers import read_weights

# classes in torch.nn; as in sentence-transformers, they are made without arguments
_ACTIVATIONS = (
    *("Identity", "Tanh", "ReLU", "ReLU6", "GELU", "SiLU", "Sigmoid", "LogSigmoid", "ELU", "SELU"),
    *("CELU", "LeakyReLU", "Mish", "Softplus", "Softsign", "Hardtanh", "Hardswish", "Hardsigmoid"),
    *("Tanhshrink", "Softshrink", "Hardshrink"),
)


def pool(hidden, mask, modes):
    """Pool the embeddings of the tokens of each text.

    Parameters
    ----------
    hidden : float32 Tensor of shape (n_rows, n_tokens, width)
        The embeddings of the tokens, padded on the right.
    mask : int64 Tensor of shape (n_rows, n_tokens) or None
        None: nothing is padded.
    modes : sequence of str
        Some of `POOLINGS`.

    Returns
    -------
    pooled : float32 Tensor of shape (n_rows, len(modes) * width)
        The results of the modes, side by side.
    """
    pooled = [_POOLINGS[mode](hidden, mask) for mode in modes]
    return pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=1)


def _mean(hidden, mask):
    if mask is None:
        return hidden.mean(1)
    weights = mask[..., None].float()
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def _max(hidden, mask):
    if mask is None:
        return hidden.amax(1)
    return hidden.masked_fill(mask[..., None] == 0, -math.inf).amax(1)


def _counts(hidden, mask):
    """The number of tokens of each text, as a column."""
    if mask is None:
        return hidden.new_full((len(hidden), 1), hidden.shape[1])
    return mask.sum(1, keepdim=True).clamp(min=1).float()


def _weighted_mean(hidden, mask):
    positions = torch.arange(1, hidden.shape[1] + 1, device=hidden.device, dtype=torch.float32)
    weights = positions[None] if mask is None else positions * mask
    return (hidden * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp(min=1.0)


def _last(hidden, mask):
    last = _counts(hidden, mask)[:, 0].long() - 1
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


_POOLINGS = {
    "cls": lambda hidden, mask: hidden[:, 0],
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": lambda h, mask: _mean(h, mask) * _counts(h, mask).sqrt(),
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}


class Dense(torch.nn.Module):
    """A linear layer and an activation.

    With `use_residual`, the input is added to the result. If the weights contain a linear layer for
    it, this layer is applied to the input first.
    """

    def __init__(self, state, activation, use_residual):
        super().__init__()
        n_out, n_in = state["linear.weight"].shape
        self.linear = skip_init(torch.nn.Linear, n_in, n_out, bias="linear.bias" in state)
        self.activation = activation
        self.use_residual = use_residual
        if "residual.weight" in state:
            self.residual = skip_init(torch.nn.Linear, n_in, n_out, bias=False)
        self.load_state_dict(state)
        self.n_in, self.n_out = n_in, n_out

    def forward(self, x):
        made = self.activation(self.linear(x))
        if not self.use_residual:
            return made
        return made + (self.residual(x) if hasattr(self, "residual") else x)


class LayerNorm(torch.nn.Module):
    """A layer normalisation with weights."""

    def __init__(self, state):
        super().__init__()
        self.n_in = self.n_out = len(state["norm.weight"])
        self.norm = torch.nn.LayerNorm(self.n_in)
        self.load_state_dict(state)

    def forward(self, x):
        return self.norm(x)


class Normalize(torch.nn.Module):
    """Scale rows to length 1; a row becomes NaN if its length is too large for float32."""

    n_in = n_out = None

    def forward(self, x):
        lengths = x.norm(dim=1, keepdim=True)
        return x / lengths.clamp(min=1e-12).masked_fill(lengths.isinf(), math.nan)


def load_layers(content, layers, width, trained):
    """Load the layers after the pooling.

    Parameters
    ----------
    content : FolderContent
    layers : sequence of (kind, path, config)
        The `layers` that `read_modules` returns.
    width : int
        Number of values per text that the pooling returns.
    trained : dict of Tensor or None
        Tensors of a trained network. They are used if `content` has no weights.

    Returns
    -------
    made : torch.nn.Sequential
    width : int
        Number of values per text that the layers return.
    """
    made: list[torch.nn.Module] = []
    for number, (kind, path, config) in enumerate(layers):
        if kind == "Normalize":
            made.append(Normalize())
            continue
        if content.has_weights():
            state = _read_state(content, path)
        else:
            prefix = f"layers.{number}."
            state = {k.removeprefix(prefix): t for k, t in trained.items() if k.startswith(prefix)}
        layer = _dense(state, config, path) if kind == "Dense" else LayerNorm(state)
        if layer.n_in != width:
            raise ValueError(f"{kind} in {path!r} takes {layer.n_in} numbers, but gets {width}")
        width = layer.n_out
        made.append(layer)
    return torch.nn.Sequential(*made), width


def _read_state(content, path):
    names = content.names()
    if f"{path}/model.safetensors" not in names:
        raise ValueError(
            f"{path!r} has no model.safetensors, and weights in other formats are not read. If you "
            "trust the model, SentenceTransformer(folder).save(other_folder) writes this file"
        )
    state = read_weights(content, [part_file(path, "model.safetensors", names)])
    return {name: tensor.float() for name, tensor in state.items()}


def _dense(state, config, path):
    """The Dense layer with the weights `state` and the settings `config`."""
    name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    module, _, kind = name.rpartition(".")
    if not module.startswith("torch.nn") or kind not in _ACTIVATIONS:
        raise ValueError(
            f"the activation function {short(name)} of {path!r} is not supported; it must be one "
            f"of torch.nn's {_ACTIVATIONS}"
        )
    layer = Dense(state, getattr(torch.nn, kind)(), bool(config.get("use_residual")))
    if [config.get("in_features"), config.get("out_features")] != [layer.n_in, layer.n_out]:
        raise ValueError(
            f"config.json of {path!r} claims in_features={short(config.get('in_features'))} and "
            f"out_features={short(config.get('out_features'))}, but the weights are for "
            f"{layer.n_in} and {layer.n_out}"
        )
    return layer
