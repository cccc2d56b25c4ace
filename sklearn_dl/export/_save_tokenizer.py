"""save_tokenizer: saves the tokenizer of an estimator, for models that take token ids."""

from pathlib import Path

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_dl.text import EntityRecognizer, QuestionAnswerer, TextEncoder
from sklearn_dl.text._text_estimator import TextEstimator
from sklearn_dl.text.entities._words import Shape


def save_tokenizer(estimator, folder):
    """Save the tokenizer of a fitted text estimator, or of a pipeline with one.

    A model that :func:`to_onnx` made with ``text="token_ids"`` takes the token ids of this
    tokenizer.

    Parameters
    ----------
    estimator : estimator
        A text estimator, or a Pipeline, ColumnTransformer, FeatureUnion or search that has text
        estimators with one tokenizer and one `max_length`.
    folder : str or Path
        Folder to write ``tokenizer.json`` and ``tokenizer_config.json`` to. It is created if it
        does not exist.

    Raises
    ------
    ValueError
        If the estimator has no text estimator, or has several with different tokenizers, or if the
        tokenizer is written in Python and has no ``tokenizer.json``.

    Notes
    -----
    The package tokenizers truncates texts to `max_length` and pads them, as the files define:
    ``Tokenizer.from_file("tokenizer.json").encode_batch(texts)``. Other packages read `max_length`
    from the files, but truncate and pad only with these options: in transformers
    ``tokenizer(texts, padding=True, truncation=True)``, and in transformers.js
    ``tokenizer(texts, {padding: true, truncation: true})``. transformers.js also needs
    ``return_token_type_ids: true`` if the model has the input `token_type_ids`.

    If the encoder has a prompt, ``tokenizer_config.json`` holds it as `prompt`. Put it before each
    text.

    For an EntityRecognizer, ``tokenizer_config.json`` also holds `tags`, the tags in the order of
    the model's `logits`. If the model has the input `word_shape`, it also holds `word_shapes`, the
    names of the shapes in the order of their numbers.

    For a QuestionAnswerer, the files are for pairs of a question and its context. Only the context
    is truncated: ``Tokenizer.encode_batch([(question, context)])``, or in transformers
    ``tokenizer(questions, contexts, padding=True, truncation="only_second")``.
    """
    found: dict = {}
    for step in _text_steps(estimator):
        check_is_fitted(step)
        network = step._network() if isinstance(step, TextEncoder) else step._network
        found[network.content.sha256, step.max_length] = step, network.tokenizer(step.max_length)
    if len(found) != 1:
        name = type(estimator).__name__
        if found:
            raise ValueError(
                f"{name} has text estimators with different tokenizers: pass one of them."
            )
        raise ValueError(
            f"{name} has no text estimator: pass a fitted text estimator, or a pipeline with one."
        )
    ((step, tokenizer),) = found.values()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(
        folder,
        cuts_second=isinstance(step, QuestionAnswerer),
        more_settings=_about_words(step) if isinstance(step, EntityRecognizer) else None,
    )


def _about_words(recognizer):
    """Return the settings with which a program makes inputs and reads outputs for words."""
    about = {"tags": recognizer._problem.tags}
    if recognizer._network.has_word_shapes(recognizer._where()):
        about["word_shapes"] = [shape.name for shape in Shape]
    return about


def _text_steps(estimator):
    """The text estimators inside an estimator."""
    if hasattr(estimator, "best_estimator_"):
        yield from _text_steps(estimator.best_estimator_)
        return
    steps = []
    if isinstance(estimator, Pipeline):
        steps = estimator.steps
    elif isinstance(estimator, FeatureUnion):
        steps = estimator.transformer_list
    elif isinstance(estimator, ColumnTransformer):
        check_is_fitted(estimator)
        steps = [step[:2] for step in estimator.transformers_]
    for _, step in steps:
        yield from _text_steps(step)
    if isinstance(estimator, (TextEstimator, TextEncoder)):
        yield estimator
