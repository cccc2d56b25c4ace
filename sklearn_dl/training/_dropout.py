"""Dropout whose random numbers cost little on a CPU. Importing this module imports torch."""

import numpy as np
import torch


class Dropout(torch.nn.Dropout):
    """`torch.nn.Dropout`, which on a CPU spends most of its time in one thread's generator.

    Here a call draws from torch's generator only the seed of numpy's SFC64, and each element takes
    16 of its bits: the rate is `p` to 1/65,536.
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
    """Put `Dropout` in the place of every `torch.nn.Dropout` inside `network`."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is torch.nn.Dropout:
                setattr(module, name, Dropout(child.p))
