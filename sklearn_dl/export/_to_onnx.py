"""The function that exports fitted estimators to ONNX."""

from typing import TYPE_CHECKING

from sklearn_dl.runtimes.onnx._runtime import import_onnxruntime
from sklearn_dl.utils._optional import import_optional
from sklearn_dl.utils._progress import print_line

if TYPE_CHECKING:
    import onnx

_CHOICES = {
    "text": ("string", "utf8", "token_ids"),
    "weights": ("float32", "float16", "int8"),
    "resize": ("exact", "fast"),
}


def to_onnx(
    estimator,
    X_sample=None,
    *,
    text="string",
    weights="float32",
    resize="exact",
    target_opset=None,
    verify=True,
    verbose=0,
) -> "onnx.ModelProto":
    """Export a fitted estimator or pipeline as one ONNX model, from raw text or pixels to labels.

    ONNX Runtime can run the model from any language, without Python and without a library of custom
    operators.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of this package or of scikit-learn, or a pipeline of these. It is not
        changed.
    X_sample : array-like of n_samples rows, default=None
        Some rows of data. They define the names, types and shapes of the model's inputs: texts,
        images as uint8 arrays of shape (H, W), (H, W, 3) or (H, W, 4), or numbers. It may be None
        for estimators that take one column of texts or images, or questions and contexts; then
        `to_onnx` makes up texts or random images.
    text : {"string", "utf8", "token_ids"}, default="string"
        How the model takes texts. "string": as a tensor of strings. "utf8": as bytes of UTF-8,
        uint8 of shape [N, n_bytes], padded with 0. "token_ids": as token ids, which a tokenizer
        outside of the model computes; :func:`save_tokenizer` saves this tokenizer. The first two
        need a tokenizer like that of BERT (WordPiece) or RoBERTa (byte-level BPE without a
        normalizer). EntityRecognizer and QuestionAnswerer need "token_ids".
    weights : {"float32", "float16", "int8"}, default="float32"
        How the weights of networks are stored. "float16" takes half the space of "float32". "int8"
        takes about a quarter; 32 weights share a scale. ONNX Runtime converts the weights back when
        it loads the model.
    resize : {"exact", "fast"}, default="exact"
        How images are resized. "exact": with Pillow's arithmetic, as the estimator does. "fast":
        bilinear and bicubic resizing by the operator Resize, which gives other pixel values.
    target_opset : int or None, default=None
        Version of the standard operators, at least 18. None: 18, or the version of a newer ONNX
        model inside the estimator.
    verify : bool, default=True
        Whether to run the model on `X_sample`, and to compare its results with those of the
        estimator. The Notes state how much they may differ.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: a line for each stage.

    Returns
    -------
    model : onnx.ModelProto
        ``model.SerializeToString()`` returns the bytes of the file. The Notes list the inputs and
        outputs.

    Raises
    ------
    ValueError
        If a step cannot be exported (the message names it and says what to do), if `X_sample` does
        not match the estimator, or if the results of the model differ too much (the message names
        the row and the difference).
    sklearn.exceptions.NotFittedError
        If the estimator, or a step, is not fitted.
    ImportError
        If a package of the extra ``export`` is not installed.

    See Also
    --------
    OnnxScorer : Runs the exported model on batches of rows.
    save_tokenizer : Saves the tokenizer for ``text="token_ids"``.

    Notes
    -----
    The counterpart in ML.NET is ConvertToOnnx, which does not convert deep models.

    Inputs: one for each column that the estimator uses, of shape [N, 1], with the name and the type
    of the column. Columns without names are called `text` and `image` (if there are several:
    `text_1`, `text_2`). An array of numbers is `X` [N, n_features], with the dtype of the array.
    Images are uint8 [N, H, W, C]; all images in a run must have the same size. Token ids are
    `input_ids`, `attention_mask` and, if the encoder takes them, `token_type_ids`, int64
    [N, length]; if there are several columns of texts, the names start with ``<column>__``.

    Outputs of classifiers: `label` [N] ([N, n_labels] for several labels) and, if they have
    `predict_proba`, `probabilities` float32 [N, n_classes] in the order of `classes_`. Clusterers
    and outlier detectors: `label` [N]. Regressors: `prediction` [N] or [N, n_outputs].
    Transformers: `features` [N, n_features]; if the last step is an OnnxScorer, the outputs keep
    the names of its tensors. Object detectors, which take one image in a run: `boxes` [n, 4] (left,
    top, right and bottom edge in pixels of the image), `scores` [n] and `labels` [n].

    EntityRecognizer: `logits` float32 [N, length, n_tags] for all tokens. The tags are in
    `metadata_props`, in this order: O, then B- and I- of each of `classes_`. The tag of a word is
    that of its first token. If the fit trained an encoder that ignores letter case, the model also
    takes `word_shape` int64 [N, length]. It has the number of the word's shape for each token of a
    word, and 0 for other tokens and padding. The number is the position of the shape in
    `word_shapes` of `metadata_props`.

    QuestionAnswerer: `start_logits` and `end_logits` float32 [N, length], for the tokens of a
    question and its context together. They are not masked: an answer starts and ends in the
    context, and "no answer" at the first token.

    These two models read one window per row. `verify` compares only the first window of a long
    text.

    If a network has a fixed batch size, N is that size.

    `verify` compares the results with predictions of the estimator in float32. Numbers may differ
    by 1e-5, by 6e-3 if they are computed from images, by 2e-3 if ``weights="float16"``, and by 0.05
    if ``weights="int8"``; these differences are relative for numbers above 1. Labels must be equal,
    unless the two best classes tie; with "int8", they are not compared. With ``resize="fast"``, a
    larger difference causes a warning, not an error. Instead of logits of tokens, their softmax is
    compared: over the tags, or over the tokens of a row.

    With ``text="string"``, the model contains one operator that only ONNX Runtime has
    (`Tokenizer` of the domain `com.microsoft`); with "utf8" and "token_ids", all operators of text
    estimators are standard ones.

    The model contains no local path and no user name. Its `metadata_props` hold the name and
    version of the package, the name of the estimator, the classes, `max_length`, `tags`,
    `word_shapes`, and the licence and sha256 of each network.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_dl.export import to_onnx
    >>> X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    >>> model = to_onnx(LogisticRegression().fit(X, X[:, 0] > 0), X)
    >>> [output.name for output in model.graph.output]
    ['label', 'probabilities']
    """
    chosen = {"text": text, "weights": weights, "resize": resize}
    for name, value in chosen.items():
        if value not in _CHOICES[name]:
            raise ValueError(f"{name}={value!r} must be one of {', '.join(_CHOICES[name])}.")
    if target_opset is not None and not (isinstance(target_opset, int) and target_opset >= 18):
        raise ValueError(f"target_opset={target_opset!r} must be an int, at least 18, or None.")
    for package in ("onnx", "onnx_ir", "skl2onnx"):
        import_optional(package, extra="export", purpose="to_onnx")
    import_onnxruntime(extra="export", purpose="to_onnx")
    from sklearn_dl.export._build import build
    from sklearn_dl.export._verify import verify_model
    from sklearn_dl.export._weights import compress

    made = build(estimator, X_sample, text, resize, target_opset)
    if verbose:
        print_line(f"to_onnx: {len(made.model.graph.node)} operators, {_size(made.model)}")
    if weights != "float32":
        compress(made.model, weights)
        if verbose:
            print_line(f"to_onnx: weights stored as {weights}, {_size(made.model)}")
    if verify:
        seen = verify_model(made, weights, resize)
        if verbose:
            print_line(f"to_onnx: {seen}")
    return made.model


def _size(model):
    return f"{model.ByteSize() / 1e6:.1f} MB"
