import copy

import pytest
import torch

from sklearn_dl.training._lookup_table import LookupTable, use_lookup_tables


class Twice(torch.nn.Module):
    """Looks rows up twice in a step, as an encoder of pairs does."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(50, 4, padding_idx=3)

    def forward(self, first, second):
        return (self.table(first) ** 2).sum() + (self.table(second) ** 3).sum()


@pytest.fixture
def networks():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        plain = Twice()
    ours = copy.deepcopy(plain)
    use_lookup_tables(ours)
    assert type(ours.table) is LookupTable
    return plain.train(), ours.train()


def _batches():
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(50, (2, 6, 5), generator=generator) for _ in range(4)]


def test_gradients_are_torchs_in_every_step(networks):
    optimizers = [torch.optim.AdamW(network.parameters(), lr=0.1) for network in networks]
    for first, second in _batches():
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.zero_grad()
            network(first, second).backward()
        plain, ours = (network.table.weight.grad for network in networks)
        assert not ours[3].any()
        torch.testing.assert_close(ours, plain)
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(networks[1].table.weight, networks[0].table.weight)


def test_gradients_add_up_where_none_is_cleared(networks):
    for first, second in _batches():
        for network in networks:
            network(first, second).backward()
    torch.testing.assert_close(networks[1].table.weight.grad, networks[0].table.weight.grad)


def test_gradients_add_to_those_of_somebody_else(networks):
    for network in networks:
        network.table.weight.grad = torch.ones_like(network.table.weight)
        network(*_batches()[0]).backward()
    torch.testing.assert_close(networks[1].table.weight.grad, networks[0].table.weight.grad)


def test_the_table_of_the_gradient_goes_when_training_ends(networks):
    ours = networks[1]
    ours(*_batches()[0]).backward()
    assert ours.table._table is not None
    assert copy.deepcopy(ours).table._table is None
    ours.table.release_gradient()
    assert ours.table._table is None
    # nothing is left behind by scoring, and a frozen table has no gradient
    ours.train().requires_grad_(False)
    assert not ours(*_batches()[0]).requires_grad
    assert ours.table._table is None


def test_rows_are_torchs(networks):
    first = _batches()[0]
    assert torch.equal(networks[1].table(first), networks[0].table(first))
    assert torch.equal(networks[1].eval().table(first), networks[0].table(first))
