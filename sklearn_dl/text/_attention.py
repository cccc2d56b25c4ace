"""Attention on CPUs, registered with transformers. Importing this module imports torch."""

import sys

import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

NAME = "sklearn_dl"


def matrix_products(module, query, key, value, attention_mask, scaling=None, **options):
    """softmax(q k' * scaling + mask) v, with the scaling on q: it is smaller than q k'.

    What asks for more (positions as a bias, a soft cap, shared keys) is left to the eager attention
    of the model's own module.

    Parameters
    ----------
    query, key, value : Tensor of shape (n_rows, n_heads, n_tokens, size)
    attention_mask : Tensor or None
        Added to the products.

    Returns
    -------
    attended : Tensor of shape (n_rows, n_tokens, n_heads, size)
    weights : None
    """
    shared = getattr(module, "num_key_value_groups", 1) > 1
    if shared or any(options.get(name) is not None for name in ("position_bias", "softcap")):
        eager = sys.modules[type(module).__module__].eager_attention_forward
        return eager(module, query, key, value, attention_mask, scaling=scaling, **options)
    products = query.mul(query.shape[-1] ** -0.5 if scaling is None else scaling) @ key.mT
    if attention_mask is not None:
        # the least number of another dtype would become -inf here, and a row of them NaN
        products += attention_mask.clamp(min=torch.finfo(products.dtype).min)
    weights = torch.nn.functional.dropout(products.softmax(-1), options.get("dropout", 0.0))
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, matrix_products)
AttentionMaskInterface.register(NAME, eager_mask)
