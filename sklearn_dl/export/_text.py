"""Export the text estimators."""

import numpy as np
import torch

from sklearn_dl.export._exporter import TokenInput, predicts, transforms
from sklearn_dl.export._graph import ir_type
from sklearn_dl.export._networks import CPU, head_outputs, torch_outputs
from sklearn_dl.export._problems import predictions
from sklearn_dl.export._table import columns
from sklearn_dl.export.scikit_learn._decisions import decides, of_logits
from sklearn_dl.export.tokens._tokens import TokenRows, UnknownTokenizer, tokenize
from sklearn_dl.text import (
    SentenceSimilarityRegressor,
    TextClassifier,
    TextEncoder,
    TextRegressor,
)
from sklearn_dl.text._scoring import check_max_length


@predicts(TextClassifier, TextRegressor, SentenceSimilarityRegressor)
def export_predictor(estimator, table, exporter):
    """Export `predict` (and `predict_proba`) of a text estimator."""
    return predictions(estimator._problem, _outputs(estimator, table, exporter), exporter)


@decides(TextClassifier)
def export_decision(classifier, table, exporter):
    """Export `decision_function`, for the calibration of a classifier."""
    outputs = _outputs(classifier, table, exporter)
    return of_logits(outputs, len(classifier.classes_), exporter)


def _outputs(estimator, table, exporter):
    """Return the outputs of the head, or of a network without a head: a Value of float64."""
    exporter.refuse_nan(estimator)
    predictor = estimator._present_predictor()
    features = _features(estimator, predictor.network, table, exporter)
    head = predictor.linear_head(CPU)
    return features if head is None else head_outputs(exporter, head, features)


@transforms(TextClassifier, TextRegressor)
def export_transform(estimator, table, exporter):
    """Export `transform`: the embeddings of the fitted encoder."""
    exporter.refuse_nan(estimator)
    network = estimator._present_predictor().network
    if network.reading == "apart" and table.width == 2:
        value = _features(estimator, network, table, exporter)
        value = exporter.cast(value, np.dtype(np.float64), np.float32)
    else:
        value = _embeddings(estimator, network, select_texts(table, exporter), exporter, "embed")
    return columns(value, np.float32, network.width(CPU, table.width))


@transforms(TextEncoder)
def export_encoder(encoder, table, exporter):
    """Export `transform` of a TextEncoder."""
    encoder._validate_params()
    exporter.refuse_nan(encoder)
    network = encoder._network()
    value = _embeddings(encoder, network, select_texts(table, exporter), exporter, "embed")
    return columns(value, np.float32, network.width(CPU, 1))


def _features(estimator, network, table, exporter):
    """Compute what FittedTextNetwork.features computes: a Value of float32 or float64."""
    texts = select_texts(table, exporter)
    if network.reading == "together" or len(texts) == 1:
        return _embeddings(estimator, network, texts, exporter, "pooled")
    graph, double = exporter.graph, int(ir_type(np.float64))
    both = _embeddings(estimator, network, texts, exporter, "pooled", apart=True)
    if network.reading == "cosine":
        wide = graph.Cast(both, to=double)
        lengths = graph.Max(graph.ReduceL2(wide, [1], keepdims=1), np.float64(1e-12))
        unit = graph.Cast(
            graph.Cast(graph.Div(wide, lengths), to=int(ir_type(np.float32))), to=double
        )
        first, second = graph.Split(unit, axis=0, num_outputs=2, n_outputs=2)
        return graph.ReduceSum(graph.Mul(first, second), [1], keepdims=1)
    first, second = graph.Split(graph.Cast(both, to=double), axis=0, num_outputs=2, n_outputs=2)
    difference = graph.Abs(graph.Sub(first, second))
    return graph.Concat(first, second, difference, graph.Mul(first, second), axis=1)


def select_texts(table, exporter):
    """Return the columns of texts of a table, as a list of one or two Tables."""
    for block in table.blocks:
        if not block.is_text:
            exporter.refuse(
                f"it takes texts, but X_sample has {block.kind} of {block.dtype}",
                "Pass an X_sample with columns of str.",
            )
    return [exporter.select(table, [position]) for position in range(table.width)]


def _embeddings(estimator, network, texts, exporter, method, apart=False):
    """Return embeddings of texts or pairs; with `apart`, those of all first texts come first."""
    if getattr(estimator, "long_texts", None) == "windows":
        exporter.refuse(
            'long_texts="windows" is not possible, because an ONNX model reads one window per text',
            'Call set_params(long_texts="truncate"). The model then reads only the beginning of a '
            "long text. The estimator need not be fitted again.",
        )
    tokenizer = network.tokenizer(estimator.max_length)
    module = network.network_to_train(torch.device("cpu")).eval()
    accept_network(estimator, network, module, exporter)
    if module.sees_padding and apart:
        exporter.refuse(
            "its encoder does not ignore padding, so the two texts of a pair cannot be padded to "
            "the same length",
            "Use another encoder.",
        )
    rows = _token_rows(tokenizer, texts, exporter, apart)
    names = ["ids", "mask"] + ["types"] * tokenizer.takes_types
    return network_outputs(module, method, dict(zip(names, rows, strict=False)), exporter)


def accept_network(estimator, network, module, exporter):
    """Check that a network can be part of the file, and record it in the metadata.

    Parameters
    ----------
    estimator : estimator
    network : FittedTextNetwork
    module : TextNetwork
        The torch module of `network`.
    exporter : Exporter
    """
    check_max_length(module, estimator.max_length, estimator.model)
    if module.sees_padding:
        # rows of equal length need no padding
        exporter.fix_rows(1)
    # several encoders may read different numbers of tokens
    seen = exporter.metadata.get("max_length", "").split(", ")
    lengths = dict.fromkeys([*filter(None, seen), str(estimator.max_length)])
    exporter.metadata["max_length"] = ", ".join(lengths)
    exporter.made_from(network.content.sha256, estimator.model)


def network_outputs(module, method, inputs, exporter):
    """Add one method of a TextNetwork to the graph.

    Parameters
    ----------
    module : TextNetwork
        It is changed: it gets an implementation of attention that can be exported.
    method : str
        Name of the method.
    inputs : dict of str to Value
        int64 of shape (N, length), by the names of the arguments. The first two are ids and mask.
    exporter : Exporter

    Returns
    -------
    output : Value
    """
    dynamic = torch.export.Dim.DYNAMIC
    return torch_outputs(
        exporter,
        lambda: _Method(module, method, list(inputs)[2:]),
        inputs,
        {name: {0: dynamic, 1: dynamic} for name in inputs},
        {name: torch.ones(3, 7, dtype=torch.int64) for name in inputs},
    )


class _Method(torch.nn.Module):
    """One method of a TextNetwork as a module. `more` names the arguments after ids and mask."""

    def __init__(self, network, method, more):
        super().__init__()
        self.network = network
        self.method = method
        self.more = more
        if hasattr(network.encoder, "set_attn_implementation"):
            network.encoder.set_attn_implementation("eager")

    def forward(self, ids, mask, third=None, fourth=None):
        # torch passes the inputs by their positions, and an encoder may take shapes without types
        options = {"types": None} | dict(zip(self.more, (third, fourth), strict=False))
        return getattr(self.network, self.method)(ids, mask, **options)


def _token_rows(tokenizer, texts, exporter, apart):
    """Return the token ids of texts: inputs of the file, or computed from its inputs."""
    blocks = [text.blocks[0] for text in texts]
    if exporter.text == "token_ids" and all(block.value is None for block in blocks):
        if not apart:
            return _token_inputs([block.name for block in blocks], tokenizer, exporter)
        groups = [_token_inputs([block.name], tokenizer, exporter) for block in blocks]
        parts = zip(*groups, strict=True)
        fills = (tokenizer.pad_id, 0, 0)
        return TokenRows(*(_stacked(p, f, exporter) for p, f in zip(parts, fills, strict=True)))
    form = "utf8" if exporter.text == "utf8" and all(b.value is None for b in blocks) else "string"
    values = [exporter.text_value(block, form) for block in blocks]
    if apart:
        values = [_stacked(values, np.uint8(0) if form == "utf8" else None, exporter)]
    try:
        return tokenize(exporter.graph, tokenizer, values, form)
    except UnknownTokenizer as error:
        exporter.refuse(
            f"its tokenizer cannot be written as ONNX operators ({error})",
            'Set text="token_ids". The tokenizer then runs outside of the file; '
            "export.save_tokenizer saves it.",
        )


def _token_inputs(names, tokenizer, exporter):
    """Return the file's inputs for the tokens of a column, or of two columns read together."""
    kinds = ["input_ids", "attention_mask"] + ["token_type_ids"] * tokenizer.takes_types
    made = [exporter.token_input(TokenInput(kind, tuple(names), tokenizer)) for kind in kinds]
    return TokenRows(*made, *[None] * (3 - len(made)))


def _stacked(values, fill, exporter):
    """Stack the rows of two Values. If `fill` is not None, pad them with it to equal width."""
    if values[0] is None:
        return None
    graph = exporter.graph
    if fill is not None:
        widths = [graph.Shape(value, start=1, end=2) for value in values]
        widest = graph.Max(*widths)
        values = [
            graph.Pad(value, graph.Concat([0, 0, 0], graph.Sub(widest, width), axis=0), fill)
            for value, width in zip(values, widths, strict=True)
        ]
    return graph.Concat(*values, axis=0)
