"""From the name of a registered network to the steps that it needs."""

import os

from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_dl.images import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.images._resizer import width_and_height
from sklearn_dl.models import list_models, model_card
from sklearn_dl.models._onnx import find_onnx, parse
from sklearn_dl.runtimes._scoring_loop import listed
from sklearn_dl.scoring._onnx_scorer import OnnxScorer
from sklearn_dl.scoring._score_classifier import ScoreClassifier
from sklearn_dl.utils._messages import brief

_TRAINED_AT = 224


def image_pipeline(model, *, outputs=None, image_size=None, root=None) -> Pipeline:
    """The steps from images to what a registered image network says, as its card has them.

    The same as `make_pipeline` of :class:`~sklearn_dl.ImageLoader`,
    :class:`~sklearn_dl.ImageResizer`, :class:`~sklearn_dl.PixelExtractor` with the card's `pixels`,
    and :class:`~sklearn_dl.OnnxScorer`; if the card has labels and `outputs` is None, with the
    scores as output and a :class:`~sklearn_dl.ScoreClassifier` at the end. It needs no `fit`.

    Parameters
    ----------
    model : str
        A name of :func:`sklearn_dl.models.list_models` whose card says how pixels are made.
    outputs : str, list of str or None, default=None
        Tensors of the graph, as in :class:`~sklearn_dl.OnnxScorer`; the pipeline ends there.
        None: labels if the card has them, else all outputs of the graph.
    image_size : int or (width, height), default=None
        In pixels; images are cropped to it. None: what the graph states, else 224.
    root : str, Path or None, default=None
        Folder of the images, as in :class:`~sklearn_dl.ImageLoader`.

    Returns
    -------
    pipeline : :class:`~sklearn.pipeline.Pipeline`
        An ordinary one: its steps are exchanged and their parameters set as always.

    Raises
    ------
    ValueError
        If no ONNX model has this name, or its card does not say how pixels are made; if the graph
        has several inputs; if none or several of its outputs have one score per label; if
        `image_size` is something else.

    See Also
    --------
    sklearn_dl.models.model_card : What is known about a model.
    sklearn_dl.ImageClassifier : Learns other classes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dl.scoring import image_pipeline
    >>> pipe = image_pipeline("efficientnet-lite0")
    >>> [name for name, step in pipe.steps]
    ['imageloader', 'imageresizer', 'pixelextractor', 'onnxscorer', 'scoreclassifier']
    >>> image_pipeline("efficientnet-lite0", outputs="features").transform(
    ...     [np.zeros((224, 224, 3), dtype=np.uint8)]
    ... ).shape
    (1, 1280)
    """
    if not isinstance(model, str) or model not in list_models():
        raise ValueError(
            f"model={brief(model)} is not a registered model; registered are {list_models()}. A "
            "file of your own goes into OnnxScorer, after ImageLoader, ImageResizer and "
            "PixelExtractor."
        )
    card = model_card(model)
    if card.pixels is None:
        raise ValueError(
            f"The card of {model!r} does not say how pixels are made: register it with `pixels=` "
            "if it is an image network."
        )
    if os.path.exists(model):
        raise ValueError(
            f"model={model!r} is also a file or folder here, which OnnxScorer would take."
        )
    extractor = PixelExtractor(**card.pixels)
    scorer = OnnxScorer(model, outputs=outputs)
    width, height = _size(_image_input(scorer, model), extractor.layout, image_size)
    steps = [ImageLoader(root=root), ImageResizer(width, height), extractor]
    if outputs is not None or card.labels is None:
        return make_pipeline(*steps, scorer)
    scores = _scores(scorer, model, len(card.labels))
    activation = None if _ends_in_probabilities(model, scores) else "softmax"
    return make_pipeline(
        *steps,
        OnnxScorer(model, outputs=scores),
        ScoreClassifier(card.labels, activation=activation),
    )


def _image_input(scorer, model):
    """The only input of the graph, which takes images."""
    inputs = scorer.inputs_
    if len(inputs) != 1 or len(_row_shape(inputs[0])) != 3:
        raise ValueError(
            f"image_pipeline is for graphs with one input, of images; {model!r} has "
            f"{listed(inputs)}. Put the steps together yourself: `inputs`, `constants` and "
            "`pixels` of OnnxScorer say what each input gets."
        )
    return inputs[0]


def _row_shape(image):
    return (None,) * 3 if image.row_shape is None else image.row_shape


def _size(image, layout, given):
    """Width and height of the images."""
    if given is not None:
        return width_and_height(given)
    row = _row_shape(image)
    height, width = row[1:] if layout == "NCHW" else row[:2]
    return width or _TRAINED_AT, height or _TRAINED_AT


def _scores(scorer, model, n_labels):
    """Name of the output that has one score per label."""
    names = [spec.name for spec in scorer.outputs_ if spec.width == n_labels]
    if len(names) != 1:
        raise ValueError(
            f"{model!r} has {n_labels} labels, and {len(names)} outputs of that width among "
            f"{[spec.name for spec in scorer.outputs_]}; name one in `outputs`."
        )
    return names[0]


def _ends_in_probabilities(model, output):
    """Whether the graph makes that output by a softmax."""
    content = find_onnx(model)
    nodes = parse(content.read(), content.name).graph.node
    makers = {name: node for node in nodes for name in node.output}
    node = makers.get(output)
    while node is not None and node.op_type in (
        "Cast",
        "Flatten",
        "Identity",
        "Reshape",
        "Squeeze",
    ):
        node = makers.get(node.input[0])
    return node is not None and node.op_type == "Softmax"
