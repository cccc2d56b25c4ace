"""The function that exports fitted estimators to ONNX."""

from typing import TYPE_CHECKING

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

    The model runs in any ONNX Runtime, without Python and without custom operators.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of this package or of scikit-learn, or a pipeline of these. It is not
        changed.
    X_sample : array-like of n_samples rows, default=None
        Some rows, which define the inputs of the model: texts, images as uint8 arrays of shape
        (H, W), (H, W, 3) or (H, W, 4), numbers. None: texts or random images are made up, for an
        estimator with one column of texts or images.
    text : {"string", "utf8", "token_ids"}, default="string"
        How texts enter. "string": as a tensor of strings. "utf8": as the bytes of UTF-8, uint8 of
        shape [N, n_bytes], padded with 0. "token_ids": as token ids that a tokenizer has made
        outside of the model; :func:`save_tokenizer` saves it. The first two need a tokenizer of
        BERT's or RoBERTa's kind: WordPiece, or byte-level BPE without a normalizer.
    weights : {"float32", "float16", "int8"}, default="float32"
        How weights are stored. "float16" halves the file, "int8" takes about a quarter: blocks of
        32 weights share a scale. Both are turned back into float32 when the file is loaded.
    resize : {"exact", "fast"}, default="exact"
        How images are resized. "exact": with Pillow's arithmetic, as the estimator does. "fast":
        by the operator Resize, whose levels differ.
    target_opset : int or None, default=None
        Version of the standard operators, at least 18. None: 18, or the version of a newer ONNX
        model inside the estimator.
    verify : bool, default=True
        Whether to run the model on `X_sample` and to compare the results with the estimator's.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: a line for each stage.

    Returns
    -------
    model : onnx.ModelProto
        ``model.SerializeToString()`` are the bytes of the file. Its inputs and outputs are listed
        in the Notes.

    Raises
    ------
    ValueError
        If a step cannot be exported (the message names it and says what to do), X_sample does not
        match the estimator, or the results of the model differ (the message names the row and the
        difference).
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
    This is ML.NET's ConvertToOnnx, which refuses its deep models.

    Inputs: one for each column that is used, of shape [N, 1], with the column's name. Without
    names: `text` and `image` (several get a number: `text_1`), and `X` [N, n_features] for numbers.
    Images: uint8 [N, H, W, C], of one size in each run. Token ids: `input_ids`, `attention_mask`
    and, if the encoder takes them, `token_type_ids`, int64 [N, length]; if several texts enter, the
    names start with ``<column>__``.

    Outputs: `label` [N] ([N, n_labels] for several labels) and `probabilities` float32
    [N, n_classes] in the order of `classes_`; `prediction` [N] or [N, n_outputs]; `features`
    [N, n_features] of transformers; `boxes` [n, 4], `scores` [n] and `labels` [n] of detectors, for
    one image. An OnnxScorer at the end keeps the names of its tensors.

    If a network has a fixed batch size, N is fixed.

    The model holds no path and no name of a user. Its `metadata_props` name the package and its
    version, the estimator, the classes, the licences of the networks, `max_length`, and the sha256
    of the networks.

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
    for package in ("onnx", "onnx_ir", "onnxruntime", "skl2onnx"):
        import_optional(package, extra="export", purpose="to_onnx")
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
