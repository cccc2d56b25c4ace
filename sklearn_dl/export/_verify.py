"""Compare an exported model with its estimator, on a sample of X."""

import warnings

import numpy as np
import onnx
from joblib import parallel_config
from scipy.optimize import linear_sum_assignment
from scipy.sparse import issparse
from scipy.special import softmax

from sklearn_dl.images import LazyImage
from sklearn_dl.metrics._boxes import box_array, box_iou
from sklearn_dl.runtimes.onnx._runtime import import_onnxruntime
from sklearn_dl.runtimes.torch._device import float32_only
from sklearn_dl.utils._columns import missing_mask
from sklearn_dl.utils._threads import thread_budget

# the largest differences that are allowed; those of numbers above 1 are relative
_TOLERANCES = {"float32": 1e-5, "float16": 2e-3, "int8": 0.05}
_TOLERANCE_OF_RESIZED = 6e-3
_LABELS = ("label", "labels")
_OBJECTS = ("boxes", "scores", "labels")
# the tolerance of the edges of a box, in pixels, is this multiple of the tolerance of numbers
_PIXELS = 100


def verify_model(built, weights, resize):
    """Run a model on its sample, and compare the results with the estimator's in float32.

    Parameters
    ----------
    built : Built
    weights, resize
        As in `to_onnx`. They determine how much the results may differ.

    Returns
    -------
    report : str
        A sentence with the largest difference.

    Raises
    ------
    ValueError
        If ONNX Runtime cannot load the model, or a row differs. With ``resize="fast"``, a
        difference is a warning.
    """
    tolerance = _TOLERANCES[weights]
    if built.has_images:
        tolerance = max(tolerance, _TOLERANCE_OF_RESIZED)
    made = run_model(built)
    with float32_only(), parallel_config("sequential"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about texts that are cut, for example
        expected = _expected(built, made)
        if built.score_threshold is not None:
            for row in range(built.n_sampled):
                _match_objects(made, expected, row, built.score_threshold + tolerance)
    if built.token_outputs is not None:
        _to_probabilities(made, expected)
    largest, fault = _compare(made, expected, tolerance, compares_labels=weights != "int8")
    report = f"the largest difference from the estimator is {largest:.2g} in {built.n_sampled} rows"
    if fault is None:
        return report
    if resize == "fast":
        warnings.warn(
            f'With resize="fast", the exported model differs from the estimator by more than '
            f"{tolerance:g}: {fault}.",
            UserWarning,
            stacklevel=3,
        )
        return report
    raise ValueError(
        f"The exported model differs from the estimator by more than {tolerance:g}: {fault}. Set "
        "verify=False to get the model without this check."
    )


def run_model(built):
    """The outputs of a model for its sample, row by row: dict of str to list, by their names."""
    _check_strings(built)
    ort = import_onnxruntime(extra="export", purpose="to_onnx")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = thread_budget(None)
    data = built.model.SerializeToString()
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's error classes are not public
        raise ValueError(f"ONNX Runtime cannot load the exported model: {error}") from error
    names = [output.name for output in session.get_outputs()]
    results: dict[str, list] = {name: [None] * built.n_sampled for name in names}
    for rows in _runs(built):
        outputs = session.run(names, _feeds(built, rows))
        for name, output in zip(names, outputs, strict=True):
            # the outputs of a detector belong to one image
            each = output if built.score_threshold is None else [output]
            if np.ndim(each) == 0 or len(each) != len(rows):
                raise ValueError(
                    f"The output {name!r} of the model has shape {np.shape(each)} for "
                    f"{len(rows)} rows: it does not have one result per row."
                )
            for row, result in zip(rows, each, strict=True):
                results[name][row] = result
    return results


def _check_strings(built):
    """Raise a ValueError if a column of strings that the model takes has other values."""
    taken = {value.name for value in built.model.graph.input}
    taken.update(column for token in built.tokens.values() for column in token.columns)
    for name, cells in built.values.items():
        is_text = cells.dtype == object and cells.ndim > 1  # else numbers, or images
        if name not in taken or not is_text:
            continue
        for row, cell in enumerate(cells.reshape(len(cells), -1).tolist()):
            if not all(isinstance(part, str) for part in cell):
                raise ValueError(
                    f"X_sample: row {row} of column {name!r} is {cell[0]!r}, but a tensor of "
                    "strings has strings only, and no missing values. Leave the row out, or "
                    "replace the value."
                )


def _runs(built):
    """Yield the rows of each run of the model: with images of one size, and N rows if N is fixed.

    If a list would be too short, its last row is repeated.
    """
    groups: dict[tuple, list] = {}
    for row in range(built.n_sampled):
        key = tuple(cells[row].shape for cells in built.values.values() if cells.ndim != 2)
        groups.setdefault(key, []).append(row)
    for rows in groups.values():
        size = len(rows) if built.n_rows == "N" else built.n_rows
        for start in range(0, len(rows), size):
            run = rows[start : start + size]
            yield run + run[-1:] * (size - len(run))


def _feeds(built, rows):
    """Return the values of the model's inputs for some rows of the sample."""
    feeds, tokens = {}, {}
    for value in built.model.graph.input:
        name = value.name
        if name in built.tokens:
            kind, columns, tokenizer = built.tokens[name]
            if columns not in tokens:
                texts = [built.values[column][rows, 0] for column in columns]
                ids, mask, types, *more = tokenizer.pad(tokenizer.encode(texts, 1))
                tokens[columns] = {
                    "input_ids": ids,
                    "attention_mask": np.ones_like(ids) if mask is None else mask,
                    "token_type_ids": np.zeros_like(ids) if types is None else types,
                }
                tokens[columns] |= dict(zip(["word_shape"], more, strict=False))
            feeds[name] = tokens[columns][kind]
            continue
        cells = built.values[name]
        if cells.ndim == 1:  # images whose sizes differ, but not in these rows
            feeds[name] = np.stack([cells[row] for row in rows])
        elif cells.dtype == object and value.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
            feeds[name] = as_utf8(cells[rows, 0])
        else:
            feeds[name] = cells[rows]
    return feeds


def as_utf8(texts):
    """The bytes of texts, as uint8 of shape (n_texts, n_bytes), padded with 0."""
    encoded = [text.encode() for text in texts]
    made = np.zeros((len(encoded), max(map(len, encoded))), np.uint8)
    for row, content in zip(made, encoded, strict=True):
        row[: len(content)] = np.frombuffer(content, np.uint8)
    return made


def _expected(built, made):
    """Return the estimator's results for the rows of the sample: dict of str to list, as `made`."""
    estimator, X = built.estimator, built.X
    if built.token_outputs is not None:
        return built.token_outputs(built.values)
    if built.score_threshold is not None:
        found = estimator.predict(X)
        return {
            "boxes": [box_array(objects) for objects in found],
            "scores": [objects["score"] for objects in found],
            "labels": [objects["label"] for objects in found],
        }
    if hasattr(estimator, "predict"):
        expected = {name: estimator.predict(X) for name in made if name != "probabilities"}
        if "probabilities" in made:
            probabilities = estimator.predict_proba(X)
            if isinstance(probabilities, list):  # one array for each label
                probabilities = np.stack([of_label[:, 1] for of_label in probabilities], axis=1)
            expected["probabilities"] = probabilities
        return {name: list(np.asarray(values)) for name, values in expected.items()}
    values = estimator.transform(X)
    if isinstance(values, dict):
        return {name: list(values[name]) for name in made}
    cells = values.toarray() if issparse(values) else np.asarray(values)
    rows = list(cells)
    if cells.dtype == object and isinstance(cells.flat[0], LazyImage):
        rows = [np.asarray(image) for image in cells[:, 0]]
    if len(made) == 1:
        return dict.fromkeys(made, rows)
    # the outputs of an OnnxScorer are side by side in its table
    expected, start = {}, 0
    for name, results in made.items():
        width = int(np.size(results[0]))
        expected[name] = [row[start : start + width] for row in rows]
        start += width
    return expected


def _to_probabilities(made, expected):
    """Turn the logits of tokens into probabilities, in place: of tags, or of the tokens of a row.

    The outputs for padding, at the end of each row, are left out.
    """
    for name, rows in expected.items():
        own = [row[: len(wanted)] for row, wanted in zip(made[name], rows, strict=True)]
        made[name] = [softmax(row.astype(np.float64), axis=-1) for row in own]
        expected[name] = [softmax(row, axis=-1) for row in rows]


def _match_objects(made, expected, row, rare):
    """Put the objects that model and estimator find in an image into the same order, in place.

    Objects with nearly equal scores may have been swapped. An object that only one of the two finds
    is left out if its score is at most `rare`, which is a little above the threshold.
    """
    one, other = ([np.asarray(of[name][row]) for name in _OBJECTS] for of in (made, expected))
    overlaps = box_iou(one[0], other[0]) * (one[2][:, None] == other[2])
    pairs = np.transpose(linear_sum_assignment(-overlaps))
    pairs = pairs[overlaps[tuple(pairs.T)] > 0.5]
    for k, (of, arrays) in enumerate(((made, one), (expected, other))):
        matched = pairs[:, k]
        rest = np.setdiff1d(np.flatnonzero(arrays[1] > rare), matched)
        for name, array in zip(_OBJECTS, arrays, strict=True):
            of[name][row] = array[np.concatenate([matched, rest])]


def _compare(made, expected, tolerance, compares_labels):
    """Compare results row by row.

    Returns
    -------
    largest : float
        The largest difference of numbers. Differences of numbers above 1 are relative.
    fault : str or None
        A sentence about the row that differs the most, or None if no row differs by more than
        `tolerance`.
    """
    largest, fault = 0.0, None
    ties = _ties(expected, tolerance)
    for name, rows in expected.items():
        for row, wanted in enumerate(rows):
            seen = np.asarray(made[name][row])
            if name in _LABELS or seen.dtype.kind in "OUS":
                # a missing string is the empty string in a tensor
                wanted = np.asarray(wanted)
                if wanted.dtype == object:
                    wanted = np.where(missing_mask(wanted), "", wanted)
                equal = seen.size == wanted.size and (seen.ravel() == wanted.ravel()).all()
                if not equal and compares_labels and row not in ties and fault is None:
                    seen, wanted = seen.tolist(), wanted.tolist()
                    fault = f"{name!r} of row {row} is {seen!r}, but the estimator has {wanted!r}"
                continue
            difference = _difference(seen, np.asarray(wanted, dtype=np.float64), name)
            if difference > max(tolerance, largest):
                fault = f"row {row} of {name!r} differs by {difference:.2g}"
            largest = max(largest, difference)
    return largest, fault


def _ties(expected, tolerance):
    """Return the rows whose label is not certain, because two probabilities are nearly equal.

    With several labels, a label is predicted if its probability exceeds 0.5. Then these are the
    rows with a probability of nearly 0.5.
    """
    found: set[int] = set()
    if not {"label", "probabilities"} <= expected.keys():
        return found
    labels, probabilities = expected["label"], expected["probabilities"]
    for row, (label, values) in enumerate(zip(labels, probabilities, strict=True)):
        if np.size(label) > 1:
            is_tie = (np.abs(values - 0.5) <= tolerance).any()
        else:
            highest = np.sort(values)[-2:]
            is_tie = len(highest) > 1 and highest[1] - highest[0] <= tolerance
        if is_tie:
            found.add(row)
    return found


def _difference(seen, wanted, name):
    """The largest difference of two arrays; infinite if their shapes differ."""
    if seen.size != wanted.size:
        return np.inf
    seen = seen.astype(np.float64).reshape(wanted.shape)
    if name == "boxes":
        seen, wanted = seen / _PIXELS, wanted / _PIXELS
    with np.errstate(invalid="ignore"):
        differences = np.abs(seen - wanted) / np.abs(wanted).clip(1)
    same = (seen == wanted) | (np.isnan(seen) & np.isnan(wanted))
    return float(np.where(same, 0, np.nan_to_num(differences, nan=np.inf)).max(initial=0))
