import pytest
import torch
import transformers
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from sklearn_dl.text._attention import NAME, matrix_products
from sklearn_dl.text._text_network import TransformerNetwork


@pytest.fixture
def tensors():
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(2, 4, 5, 8, generator=rng) for _ in range(3)]


@pytest.fixture
def mask():
    mask = torch.zeros(2, 1, 1, 5)
    mask[1, ..., 3:] = torch.finfo(torch.float32).min
    return mask


def as_torch_does(tensors, mask, module, **options):
    return sdpa_attention_forward(module, *tensors, mask, is_causal=False, **options)[0]


@pytest.mark.parametrize("scaling", [None, 0.5])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_torch(tensors, mask, scaling, masked):
    mask = mask if masked else None
    module = torch.nn.Module()
    before = [t.clone() for t in tensors]
    attended, weights = matrix_products(module, *tensors, mask, scaling=scaling, dropout=0.0)
    assert weights is None
    assert attended.shape == (2, 5, 4, 8)
    torch.testing.assert_close(attended, as_torch_does(tensors, mask, module, scaling=scaling))
    assert all(torch.equal(*pair) for pair in zip(tensors, before, strict=True))


def eager_attention_forward(module, query, key, value, attention_mask, **options):
    return options


class OwnAttention(torch.nn.Module):
    num_key_value_groups = 1


@pytest.mark.parametrize("name", ["position_bias", "softcap", "num_key_value_groups"])
def test_what_asks_for_more_is_the_models_own(tensors, mask, name):
    module, options = OwnAttention(), {"scaling": 0.5, "dropout": 0.1}
    if name == "num_key_value_groups":
        module.num_key_value_groups = 2
    else:
        options[name] = torch.ones(1)
    assert matrix_products(module, *tensors, mask, **options) == options


def test_a_row_without_tokens_in_a_mask_of_another_dtype(tensors):
    tensors = [t.bfloat16() for t in tensors]
    mask = torch.full((2, 1, 5, 5), torch.finfo(torch.float32).min)
    attended, _ = matrix_products(torch.nn.Module(), *tensors, mask)
    assert attended.dtype == torch.bfloat16
    assert attended.isfinite().all()


@pytest.mark.parametrize(
    ("kind", "n_positions", "chosen"),
    [("Bert", 512, NAME), ("Bert", 513, "sdpa"), ("MPNet", 512, "eager")],
)
def test_where_it_is_used(kind, n_positions, chosen):
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=10,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=n_positions + 2 * (kind == "MPNet"),
    )
    with torch.random.fork_rng([]):
        encoder = getattr(transformers, f"{kind}Model")(config)
    nothing = torch.nn.Sequential()
    network = TransformerNetwork(encoder, ("mean",), nothing, 8, normalize=True)
    network.move_to(torch.device("cpu"))
    assert network.max_tokens == n_positions
    assert network.encoder.config._attn_implementation == chosen


def test_dropout_is_that_of_the_caller(tensors):
    attended, _ = matrix_products(torch.nn.Module(), *tensors, None, dropout=1.0)
    assert not attended.any()
