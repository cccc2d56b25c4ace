"""Embedding layers with a fast gradient on a CPU. Importing this module imports torch."""

import torch


class LookupTable(torch.nn.Embedding):
    """Table of token embeddings whose gradient is faster on a CPU than `torch.nn.Embedding`'s.

    In each step, torch makes a new gradient: a table of zeros as large as the weights. This class
    keeps the table, and each step clears only the rows that the previous step has written. The
    weights must not be used elsewhere in the network.
    """

    # the gradient, and the ids of its rows that are not zero
    _table: torch.Tensor | None = None
    _written: torch.Tensor | None = None

    def forward(self, ids):
        if not self.training or not self.weight.requires_grad or ids.device.type != "cpu":
            return super().forward(ids)
        return _Lookup.apply(self.weight, ids, self)

    def release_gradient(self):
        """Free the memory of the gradient. Call this at the end of the training."""
        self._table = self._written = None

    def __getstate__(self):
        return {**self.__dict__, "_table": None, "_written": None}

    def _add_gradient(self, ids, gradient):
        """Add the gradient of the embeddings of `ids` to the gradient of the weights."""
        ids, gradient = ids.reshape(-1), gradient.reshape(-1, self.embedding_dim)
        if self.padding_idx is not None:
            is_token = ids != self.padding_idx
            ids, gradient = ids[is_token], gradient[is_token]
        if self.weight.grad is None:
            if self._table is None:
                self._table = torch.zeros_like(self.weight)
            else:
                self._table[self._written] = 0.0
            self.weight.grad, self._written = self._table, ids
        elif self.weight.grad is self._table:  # another call in the same step
            self._written = ids if self._written is None else torch.cat([self._written, ids])
        self.weight.grad.index_add_(0, ids, gradient.to(self.weight.dtype))


class _Lookup(torch.autograd.Function):
    """The lookup. Its backward pass passes the gradient to the LookupTable, not to torch."""

    @staticmethod
    def forward(ctx, weight, ids, module):
        ctx.ids, ctx.module = ids, module
        return torch.nn.functional.embedding(ids, weight)

    @staticmethod
    def backward(ctx, gradient):
        ctx.module._add_gradient(ctx.ids, gradient)
        return None, None, None


def use_lookup_tables(network):
    """Replace every `torch.nn.Embedding` inside `network` with a LookupTable.

    Embeddings that are sparse or have a `max_norm` are not replaced.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is torch.nn.Embedding and child.max_norm is None and not child.sparse:
                table = LookupTable.from_pretrained(
                    child.weight.data, freeze=False, padding_idx=child.padding_idx
                )
                setattr(module, name, table)
