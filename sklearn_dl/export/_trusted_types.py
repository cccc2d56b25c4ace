"""trusted_types: the types of this package that a skops file may contain."""

# TensorFlowScorer and its model are not in this list: a file could set allow_unsafe_ops=True, and
# then its graph could read and write files.
_TYPES = (
    "images._loader.ImageLoader",
    "images._pixels.PixelExtractor",
    "images._resizer.ImageResizer",
    "labels._key_mapper.LabelKeyMapper",
    "models._estimator._Carried",
    "models._folder.FolderContent",
    "models._onnx.OnnxModel",
    "scoring._onnx_scorer.OnnxScorer",
    "scoring._score_classifier.ScoreClassifier",
    "text._cosines.Cosines",
    "text._cosines.Similarities",
    "text._fitted_text_network.FittedTextNetwork",
    "text._given_head.GivenHead",
    "text._sentence_similarity.SentenceSimilarityRegressor",
    "text._text_classifier.TextClassifier",
    "text._text_encoder.TextEncoder",
    "text._text_regressor.TextRegressor",
    "text.answers._answer_network.AnswerNetwork",
    "text.answers._answers.Answers",
    "text.answers._question_answerer.QuestionAnswerer",
    "text.entities._entity_network.EntityNetwork",
    "text.entities._entity_recognizer.EntityRecognizer",
    "text.entities._tags.Tags",
    "training._classes.Classes",
    "training._head.LinearHead",
    "training._labels.Labels",
    "training._numbers.Numbers",
    "training._predictor.Predictor",
    "vision._backbone.FittedImageNetwork",
    "vision._backbone.FolderBackbone",
    "vision._backbone.ModuleBackbone",
    "vision._backbone.OnnxBackbone",
    "vision._backbone._Module",
    "vision._image_classifier.ImageClassifier",
    "vision._image_regressor.ImageRegressor",
    "vision.detection._boxes.Boxes",
    "vision.detection._boxes.Suppression",
    "vision.detection._detection_scorer.DetectionScorer",
    "vision.detection._fitted_detection_network.FittedDetectionNetwork",
    "vision.detection._object_detector.ObjectDetector",
)


def trusted_types():
    """Return the types of this package that `skops.io.load` may create from a file.

    skops stores fitted estimators without pickle. It loads a file by creating objects of the types
    that you trust; it does not run code of the file's author. It trusts the types of scikit-learn
    itself. Networks in the file are checked when they are loaded, because the file may come from a
    stranger.

    Returns
    -------
    types : list of str
        Full names, for the parameter `trusted` of `skops.io.load`. The list does not contain
        :class:`~sklearn_dl.TensorFlowScorer` (a file could set ``allow_unsafe_ops=True``),
        functions that you passed as parameters, or the types of other packages. See
        :func:`skops.io.get_untrusted_types`.

    Notes
    -----
    A loaded estimator has the parameters that are in its file. If a stranger made the file, look at
    ``get_params()`` before you use the estimator: with `memory` or `session_options`, a prediction
    can write files.

    Examples
    --------
    >>> from sklearn_dl.export import trusted_types
    >>> len(trusted_types()) > 20
    True
    """
    return [f"sklearn_dl.{name}" for name in _TYPES]
