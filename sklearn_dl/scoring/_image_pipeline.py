"""The pipeline of a registered image network, from its name."""

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


def image_pipeline(model, *, outputs=None, image_size=None, root=None, verbose=0) -> Pipeline:
    """Make the pipeline from images to the labels or outputs of a registered image network.

    Its steps are :class:`~sklearn_dl.ImageLoader`, :class:`~sklearn_dl.ImageResizer`,
    :class:`~sklearn_dl.PixelExtractor` with the `pixels` of the model's card, and
    :class:`~sklearn_dl.OnnxScorer`. If the card has labels and `outputs` is None, the scorer
    computes the scores, and a :class:`~sklearn_dl.ScoreClassifier` is the last step. The pipeline
    does not need `fit`.

    Parameters
    ----------
    model : str
        A name from :func:`sklearn_dl.models.list_models`. The card of this model must say how
        pixels are made.
    outputs : str, list of str or None, default=None
        Tensors to compute, as in :class:`~sklearn_dl.OnnxScorer`, which is then the last step.
        None: the pipeline returns labels if the card has them, else all outputs of the graph.
    image_size : int or (width, height), default=None
        Size in pixels to which images are resized and cropped. None: the size that the graph
        states, else 224.
    root : str, Path or None, default=None
        Folder of the images, as in :class:`~sklearn_dl.ImageLoader`.
    verbose : int, default=0
        How much is printed, as in :class:`~sklearn_dl.OnnxScorer`. 0: nothing. 1: a progress bar.

    Returns
    -------
    pipeline : :class:`~sklearn.pipeline.Pipeline`
        Its steps can be replaced, and their parameters set, as in any pipeline.

    Raises
    ------
    ValueError
        If no ONNX model has this name, or its card does not say how pixels are made; if the graph
        does not have exactly one input, for images; if not exactly one of its outputs has one score
        per label; if `image_size` is not a size.

    See Also
    --------
    sklearn_dl.models.model_card : What is known about a model.
    sklearn_dl.ImageClassifier : Learns the classes of your own images.

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
            f"model={brief(model)} is not a registered model; the registered models are "
            f"{list_models()}. For a file of your own, make a pipeline of ImageLoader, "
            "ImageResizer, PixelExtractor and OnnxScorer."
        )
    card = model_card(model)
    if card.pixels is None:
        raise ValueError(
            f"The card of {model!r} does not say how pixels are made. If it is an image network, "
            "register it with `pixels=`."
        )
    if os.path.exists(model):
        raise ValueError(
            f"model={model!r} is also a file or folder here, which OnnxScorer would load instead "
            "of the registered model: rename it, or work in another folder."
        )
    extractor = PixelExtractor(**card.pixels)
    scorer = OnnxScorer(model, outputs=outputs, verbose=verbose)
    width, height = _size(_image_input(scorer, model), extractor.layout, image_size)
    steps = [ImageLoader(root=root), ImageResizer(width, height), extractor]
    if outputs is not None or card.labels is None:
        return make_pipeline(*steps, scorer)
    scores = _scores(scorer, model, len(card.labels))
    activation = None if _ends_in_probabilities(model, scores) else "softmax"
    return make_pipeline(
        *steps,
        OnnxScorer(model, outputs=scores, verbose=verbose),
        ScoreClassifier(card.labels, activation=activation),
    )


def _image_input(scorer, model):
    """Return the only input of the graph; raise an error unless it can take images."""
    inputs = scorer.inputs_
    if len(inputs) != 1 or len(_row_shape(inputs[0])) != 3:
        raise ValueError(
            "image_pipeline accepts only graphs with one input, which takes images; the inputs of "
            f"{model!r} are {listed(inputs)}. Make the pipeline yourself: the parameters `inputs`, "
            "`constants` and `pixels` of OnnxScorer set what each input gets."
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
            f"{model!r} has {n_labels} labels, so one of its outputs "
            f"{[spec.name for spec in scorer.outputs_]} should have {n_labels} values per row, but "
            f"{len(names)} have that many: name an output in `outputs`."
        )
    return names[0]


def _ends_in_probabilities(model, output):
    """Whether a softmax computes the output, which may then be reshaped or cast."""
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
