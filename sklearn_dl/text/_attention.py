"""Attention that is faster on CPUs, registered with transformers.

Importing this module imports torch.
"""

import sys

import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

NAME = "sklearn_dl"


def matrix_products(module, query, key, value, attention_mask, scaling=None, **options):
    """Compute attention, softmax(scaling * q k' + mask) v, with plain matrix products.

    `scaling` is applied to q, which is smaller than q k'. Attention with a bias for positions, a
    soft cap or keys shared by heads is left to the eager attention of the module that defines the
    model.

    Parameters
    ----------
    query, key, value : Tensor of shape (n_rows, n_heads, n_tokens, size)
    attention_mask : Tensor or None
        It is added to the products of query and key.
    scaling : float or None, default=None
        None: ``size ** -0.5``.

    Returns
    -------
    attended : Tensor of shape (n_rows, n_tokens, n_heads, size)
    weights : None
        The attention weights are not returned.
    """
    shares_keys = getattr(module, "num_key_value_groups", 1) > 1
    if shares_keys or any(options.get(name) is not None for name in ("position_bias", "softcap")):
        eager = sys.modules[type(module).__module__].eager_attention_forward
        return eager(module, query, key, value, attention_mask, scaling=scaling, **options)
    products = query.mul(query.shape[-1] ** -0.5 if scaling is None else scaling) @ key.mT
    if attention_mask is not None:
        # the lowest number of a wider dtype could become -inf; softmax makes a row of -inf NaN
        products += attention_mask.clamp(min=torch.finfo(products.dtype).min)
    weights = torch.nn.functional.dropout(products.softmax(-1), options.get("dropout", 0.0))
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, matrix_products)
AttentionMaskInterface.register(NAME, eager_mask)
