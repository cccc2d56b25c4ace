"""A text alone and beside a longer one, in every family of encoders that transformers has."""

import numpy as np
import pytest
import torch
import transformers
from numpy.testing import assert_allclose
from transformers import MODEL_FOR_MASKED_LM_MAPPING, MODEL_MAPPING

from sklearn_dl import TextClassifier, TextEncoder
from sklearn_dl.text._text_network import _SEE_PADDING
from tests.text.tiny_encoders import KINDS, tiny_encoder

_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "vocab_size": 100,
    "pad_token_id": 0,
}
_OWN = {
    "deberta-v2": {"conv_kernel_size": 3, "relative_attention": True, "pos_att_type": ["p2c"]},
    "funnel": {"block_sizes": [1, 1], "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 64},
    "longformer": {"attention_window": [4, 4]},
    "luke": {"entity_vocab_size": 10},
    "mobilebert": {"embedding_size": 32, "intra_bottleneck_size": 32},
    "neomme": {"num_key_value_heads": 2},
    "roc_bert": {"pronunciation_vocab_size": 100, "shape_vocab_size": 100},
    "squeezebert": {"embedding_size": 32},
    "xmod": {"default_language": "en_XX"},
}
# the package refuses them as encoders of text, or they are not only for text
_NO_ENCODERS = {"bart", "mbart", "mvp", "mra", "yoso", "perceiver", "reformer"}
_NO_ENCODERS |= {"modernvbert", "ultravbert"}  # of images too, and large
_FAMILIES = sorted(c.model_type for c in MODEL_FOR_MASKED_LM_MAPPING)


def made(family):
    config_class = transformers.CONFIG_MAPPING[family]
    model_class = MODEL_MAPPING[config_class]
    model_class = model_class[0] if isinstance(model_class, tuple) else model_class
    settings = _SMALL | _OWN.get(family, {})
    if family == "funnel":
        del settings["num_hidden_layers"], settings["hidden_size"]
    torch.manual_seed(0)
    return model_class(config_class(**settings)).eval()


@pytest.mark.slow
@pytest.mark.parametrize("family", [f for f in _FAMILIES if f not in _NO_ENCODERS])
def test_families_that_see_padding_are_known(family):
    with torch.random.fork_rng([]), torch.inference_mode():
        model = made(family)
        short, long = torch.randint(5, 90, (1, 9)), torch.randint(5, 90, (1, 30))
        both = torch.cat([torch.nn.functional.pad(short, (0, 21)), long])
        alone = model(input_ids=short, attention_mask=torch.ones_like(short)).last_hidden_state
        beside = model(input_ids=both, attention_mask=(both != 0).long()).last_hidden_state
    difference = (alone[0] - beside[0, :9]).abs().max() / alone.abs().max()
    assert (difference > 1e-4) == (family in _SEE_PADDING)


X = ["a good film", "the bad book", "fine", "poor plot xyz and very old music in the tree"] * 4
Y = ["p", "n", "p", "n"] * 4
OF_BERT = {
    "convbert": (transformers.ConvBertModel, {"embedding_size": 32}, KINDS["bert"][2]),
    "fnet": (transformers.FNetModel, {}, KINDS["bert"][2]),
    "nystromformer": (transformers.NystromformerModel, {}, KINDS["bert"][2]),
    "funnel": (
        transformers.FunnelModel,
        {"block_sizes": [1, 1], "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 64},
        KINDS["bert"][2],
    ),
    "big_bird": (
        transformers.BigBirdModel,
        {"attention_type": "block_sparse", "block_size": 2, "num_random_blocks": 1},
        KINDS["bert"][2],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", OF_BERT)
def test_a_text_does_not_depend_on_the_others(family, tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, family, OF_BERT[family])
    if family == "funnel":
        from tests.text import tiny_encoders

        sizes = {k: v for k, v in _SMALL.items() if k not in ("num_hidden_layers", "hidden_size")}
        monkeypatch.setattr(tiny_encoders, "SMALL", sizes)
    folder = str(tiny_encoder(tmp_path / family, family))
    options = {"max_length": 32, "precision": "float32"}
    encoder = TextEncoder(folder, **options)
    together = encoder.transform(X)
    for row in range(4):
        assert_allclose(encoder.transform(X[row : row + 1])[0], together[row], atol=2e-5)
    assert_allclose(encoder.transform(X), together, atol=2e-5)
    clf = TextClassifier(folder, max_epochs=1, random_state=0, **options).fit(X, Y)
    alone = np.concatenate([clf.predict_proba([x]) for x in X[:4]])
    assert_allclose(clf.predict_proba(X[:4]), alone, atol=1e-5)
