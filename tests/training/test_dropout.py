import pytest
import torch

from sklearn_dl.training._dropout import Dropout, replace_dropout


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_it_drops_and_scales_as_torch_does(p, dtype):
    x = torch.ones(1000, 1001, dtype=dtype, requires_grad=True)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        y = Dropout(p)(x)
    dropped = y == 0
    assert abs(float(dropped.float().mean()) - p) < 2e-3
    # neither rows nor columns repeat each other
    assert dropped.float().mean(0).std() < 0.03
    assert dropped.float().mean(1).std() < 0.03
    assert y.dtype == dtype
    torch.testing.assert_close(y[~dropped], torch.full_like(y[~dropped], 1 / (1 - p)))
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_torchs_seed_determines_it():
    def masks(seed):
        torch.manual_seed(seed)
        layer = Dropout(0.5)
        return layer(torch.ones(99)), layer(torch.ones(99))

    with torch.random.fork_rng([]):
        first, again, other = masks(0), masks(0), masks(1)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_rates_of_zero_and_one_and_empty_batches(p):
    assert torch.equal(Dropout(p)(torch.ones(3, 5)), torch.full((3, 5), 1 - p))
    assert Dropout(0.5)(torch.ones(0, 5)).shape == (0, 5)


def test_it_does_nothing_in_evaluation():
    x = torch.randn(4, 4)
    assert Dropout(0.5).eval()(x) is x


def test_every_dropout_of_a_network_is_replaced():
    inner = torch.nn.Sequential(torch.nn.Dropout(0.3), torch.nn.Linear(2, 2))
    network = torch.nn.Sequential(inner, torch.nn.Dropout1d(0.2), torch.nn.Dropout(0.1))
    replace_dropout(network)
    assert type(network[0][0]) is Dropout
    assert type(network[1]) is torch.nn.Dropout1d
    assert [module.p for module in (network[0][0], network[2])] == [0.3, 0.1]


def test_a_rate_of_nearly_one():
    assert (Dropout(1 - 1e-9)(torch.ones(10_000)) == 0).float().mean() > 0.99
