"""Networks with the head in their folder give the same outputs as transformers' own call."""

import numpy as np
import pytest
import torch
import transformers
from numpy.testing import assert_allclose
from scipy.special import logsumexp

from sklearn_dl.models._folder import find_folder
from sklearn_dl.text._given_head import NoHeadError, find_head
from sklearn_dl.text._head_network import load_network_with_head
from tests.text.tiny_encoders import KINDS
from tests.text.tiny_heads import own_outputs, tiny_head

TEXTS = ["a good film", "the bad book was not very good", "dog"]
CPU = torch.device("cpu")


def token_outputs(network, folder):
    """The head's outputs for the tokens of TEXTS, and the mask."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    network = network.move_to(CPU)
    with torch.no_grad():
        made = network.token_outputs(
            batch["input_ids"], batch["attention_mask"], batch.get("token_type_ids")
        )
    return made.numpy(), batch["attention_mask"].numpy().astype(bool)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens(tmp_path, kind):
    folder = tiny_head(tmp_path / kind, kind, "token", ["B-x", "O", "I-x", "B-y", "I-y"])
    head = find_head(find_folder(folder), "token")
    assert head.labels == ("B-x", "O", "I-x", "B-y", "I-y")
    order = [1, 0, 2, 3, 4]
    network = load_network_with_head(find_folder(folder), head.ordered(order))
    made, mask = token_outputs(network, folder)
    expected = own_outputs(folder, TEXTS).logits.numpy()[..., order]
    assert_allclose(made[mask], expected[mask], atol=1e-5)
    assert np.ptp(made[mask], axis=0).min() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_answers(tmp_path, kind):
    folder = tiny_head(tmp_path / kind, kind, "answer")
    head = find_head(find_folder(folder), "answer")
    assert head.labels == ("start", "end")
    network = load_network_with_head(find_folder(folder), head)
    made, mask = token_outputs(network, folder)
    own = own_outputs(folder, TEXTS)
    assert_allclose(made[..., 0][mask], own.start_logits.numpy()[mask], atol=1e-5)
    assert_allclose(made[..., 1][mask], own.end_logits.numpy()[mask], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_word_shapes_of_zero_change_nothing(tmp_path, kind):
    folder = tiny_head(tmp_path / kind, kind, "token")
    network = load_network_with_head(
        find_folder(folder), find_head(find_folder(folder), "token")
    ).move_to(CPU)
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        expected = network.token_outputs(ids, None).numpy()
        network.add_word_shapes(3)
        made = network.token_outputs(ids, None, None, torch.ones_like(ids) * 2).numpy()
    assert_allclose(made, expected, atol=1e-5)


@pytest.mark.slow
def test_outputs_that_are_used_twice_share_their_probability(tmp_path):
    folder = tiny_head(tmp_path / "bert", "bert", "token", ["O", "I-x"])
    head = find_head(find_folder(folder), "token")
    network = load_network_with_head(find_folder(folder), head.ordered([0, 1, 1]))
    made, mask = token_outputs(network, folder)
    expected = own_outputs(folder, TEXTS).logits.numpy()
    assert_allclose(logsumexp(made[..., 1:], axis=-1)[mask], expected[..., 1][mask], atol=1e-5)
    assert_allclose(made[..., 0][mask], expected[..., 0][mask], atol=1e-5)


def test_a_head_of_another_task_is_not_found(tmp_path):
    folder = find_folder(tiny_head(tmp_path / "bert", "bert", "answer"))
    for task in ("sequence", "token"):
        with pytest.raises(NoHeadError, match=r"config\.json names 'BertForQuestionAnswering'"):
            find_head(folder, task)
