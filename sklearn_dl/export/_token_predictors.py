"""Export the text estimators whose outputs belong to tokens: entities and answers."""

import copy
import json
from functools import partial

import numpy as np
import torch

from sklearn_dl.export._exporter import TokenInput, predicts
from sklearn_dl.export._first_windows import FirstWindows
from sklearn_dl.export._networks import CPU, head_outputs
from sklearn_dl.export._table import Output
from sklearn_dl.export._text import accept_network, network_outputs, select_texts
from sklearn_dl.runtimes.torch._device import torch_settings
from sklearn_dl.text import EntityRecognizer, QuestionAnswerer
from sklearn_dl.text._scoring import to_device
from sklearn_dl.text.entities._words import Shape

# the arguments of TextNetwork.token_vectors, and the inputs of the file
_INPUTS = {
    "ids": "input_ids",
    "mask": "attention_mask",
    "types": "token_type_ids",
    "shapes": "word_shape",
}


@predicts(EntityRecognizer)
def export_entities(recognizer, table, exporter):
    """Export the logits of the tags of each token."""
    value, length = _outputs(recognizer, table, exporter, ["logits"])
    tags = recognizer._problem.tags
    exporter.metadata["tags"] = json.dumps(tags)
    return {"logits": Output(value, np.dtype(np.float32), ("N", length, len(tags)))}


@predicts(QuestionAnswerer)
def export_answers(answerer, table, exporter):
    """Export the logits that an answer starts, or ends, with each token."""
    names = ["start_logits", "end_logits"]
    value, length = _outputs(answerer, table, exporter, names)
    return {
        name: Output(
            exporter.graph.Gather(value, position, axis=2), np.dtype(np.float32), ("N", length)
        )
        for position, name in enumerate(names)
    }


def _outputs(estimator, table, exporter, names):
    """Return the outputs of the head for each token.

    Parameters
    ----------
    estimator : EntityRecognizer or QuestionAnswerer
    table : Table
    exporter : Exporter
    names : list of str
        Names of the outputs of the file. If there are several, each is one column of the head.

    Returns
    -------
    outputs : Value
        float32 of shape (N, length, n_outputs).
    length : str
        Name of the size that is the number of tokens.
    """
    exporter.refuse_nan(estimator)
    blocks = [text.blocks[0] for text in select_texts(table, exporter)]
    if exporter.text != "token_ids":
        exporter.refuse(
            "its outputs belong to tokens, and only a tokenizer outside of the file can find the "
            "places of tokens in a text",
            'Set text="token_ids"; export.save_tokenizer saves the tokenizer.',
        )
    if any(block.value is not None for block in blocks):
        exporter.refuse(
            "the steps before it compute its texts, but the file takes token ids",
            "Export the estimator without these steps.",
        )
    predictor = estimator._present_predictor()
    network, head = predictor.network, predictor.linear_head(CPU)
    own = network.on(torch.device("cpu"), "float32")
    has_shapes = own.word_shapes is not None
    # the copy has the same weights, but gets another implementation of attention
    module = copy.deepcopy(own)
    tokenizer = network.tokenizer(estimator.max_length)
    windows = FirstWindows(tokenizer, estimator.window_overlap, has_shapes)
    accept_network(estimator, network, module, exporter)
    columns = tuple(block.name for block in blocks)
    arguments = ["ids", "mask"] + ["types"] * tokenizer.takes_types + ["shapes"] * has_shapes
    inputs = {
        name: exporter.token_input(TokenInput(_INPUTS[name], columns, windows))
        for name in arguments
    }
    if has_shapes:
        exporter.metadata["word_shapes"] = json.dumps([shape.name for shape in Shape])
    vectors = network_outputs(module, "token_vectors", inputs, exporter)
    outputs = head_outputs(exporter, head, vectors)
    exporter.token_outputs = partial(_own_outputs, own, head, windows, columns, names)
    return exporter.cast(outputs, np.dtype(np.float64), np.float32), f"{'__'.join(columns)}__length"


def _own_outputs(network, head, windows, columns, names, values):
    """Compute the outputs of the estimator's network and head for the first window of each row.

    Parameters
    ----------
    network : TextNetwork
    head : LinearHead
    windows : FirstWindows
    columns : tuple of str
        The columns of texts.
    names : list of str
        As in `_outputs`.
    values : dict of str to ndarray
        The cells of the columns, of shape (n_rows, 1).

    Returns
    -------
    outputs : dict of str to list of float64 ndarray of shape (n_tokens, ...)
        For each name and row, the outputs of all tokens.
    """
    texts = [values[column][:, 0] for column in columns]
    tokens = windows.encode(texts, 1)
    made: dict = {name: [] for name in names}
    with torch_settings(), torch.inference_mode():
        for row in range(len(texts[0])):
            # a row alone is not padded
            arrays = to_device(windows.pad(tokens.take([row])), torch.device("cpu"))
            (vectors,) = network.token_vectors(*arrays).float().numpy()
            outputs = head(vectors.astype(np.float64))
            of_names = outputs.T if len(names) > 1 else [outputs]
            for name, of_name in zip(names, of_names, strict=True):
                made[name].append(of_name)
    return made
