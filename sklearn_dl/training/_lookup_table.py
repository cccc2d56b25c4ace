"""Lookup tables of tokens, whose gradient costs little on a CPU. Importing this imports torch."""

import torch


class LookupTable(torch.nn.Embedding):
    """`torch.nn.Embedding`, whose gradient is a new table of zeros in each step.

    Here the table is kept from step to step, and only the rows that the last step wrote are
    cleared. The table must not be used elsewhere in the network.
    """

    _table: torch.Tensor | None = None
    _written: torch.Tensor | None = None

    def forward(self, ids):
        if not self.training or not self.weight.requires_grad or ids.device.type != "cpu":
            return super().forward(ids)
        return _Lookup.apply(self.weight, ids, self)

    def release_gradient(self):
        """Give the table's memory back: training has ended."""
        self._table = self._written = None

    def __getstate__(self):
        return {**self.__dict__, "_table": None, "_written": None}

    def _add_gradient(self, ids, gradient):
        ids, gradient = ids.reshape(-1), gradient.reshape(-1, self.embedding_dim)
        if self.padding_idx is not None:
            real = ids != self.padding_idx
            ids, gradient = ids[real], gradient[real]
        if self.weight.grad is None:
            if self._table is None:
                self._table = torch.zeros_like(self.weight)
            else:
                self._table[self._written] = 0.0
            self.weight.grad, self._written = self._table, ids
        elif self.weight.grad is self._table:  # the second call in one step
            self._written = ids if self._written is None else torch.cat([self._written, ids])
        self.weight.grad.index_add_(0, ids, gradient.to(self.weight.dtype))


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, ids, module):
        ctx.ids, ctx.module = ids, module
        return torch.nn.functional.embedding(ids, weight)

    @staticmethod
    def backward(ctx, gradient):
        ctx.module._add_gradient(ctx.ids, gradient)
        return None, None, None


def use_lookup_tables(network):
    """Put `LookupTable` in the place of every plain `torch.nn.Embedding` inside `network`."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is torch.nn.Embedding and child.max_norm is None and not child.sparse:
                table = LookupTable.from_pretrained(
                    child.weight.data, freeze=False, padding_idx=child.padding_idx
                )
                setattr(module, name, table)
