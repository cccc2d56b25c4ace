"""Dropout that draws its random numbers fast on a CPU. Importing this module imports torch."""

import numpy as np
import torch


class Dropout(torch.nn.Dropout):
    """Dropout that is faster on a CPU than `torch.nn.Dropout`.

    On a CPU, torch draws a random number for each element, in one thread. Here each call draws only
    a seed from torch's generator. numpy's SFC64 then draws 16 random bits for each element, so the
    rate differs from `p` by at most 1/65,536.
    """

    def forward(self, x):
        if not self.training or not 0 < self.p < 1 or x.device.type != "cpu":
            return super().forward(x)
        seed = int(torch.empty((), dtype=torch.int64).random_())
        words = np.random.SFC64(seed).random_raw(-(-x.numel() // 4))
        bits = torch.from_numpy(words.view(np.int16))[: x.numel()].view(x.shape)
        kept = bits >= min(round(self.p * 65_536), 65_535) - 32_768
        return x * kept.to(x.dtype).div_(1 - self.p)


def replace_dropout(network):
    """Replace every `torch.nn.Dropout` inside `network` with a `Dropout`."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is torch.nn.Dropout:
                setattr(module, name, Dropout(child.p))
