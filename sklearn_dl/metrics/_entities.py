"""Precision, recall and F-score of entities, as seqeval's strict mode counts them."""

from collections import Counter

import numpy as np
from sklearn.metrics import precision_recall_fscore_support
from sklearn.utils.validation import check_consistent_length

from sklearn_dl.metrics._entity_tags import read_entities
from sklearn_dl.utils._columns import counted
from sklearn_dl.utils._messages import RowError


def entity_f1_score(y_true, y_pred, *, scheme="auto", average="micro", zero_division="warn"):
    """F1 score of entities. An entity is right if its start, its end and its label are right.

    Parameters
    ----------
    y_true : sequence of n_samples rows
        The entities of each text: tags (one string for each word), spans (start, end, label), or
        a structured array with these fields, as :func:`make_entities` makes it. An empty row has
        no entities.
    y_pred : sequence of n_samples rows
        The predicted entities in one of these forms, for example the result of
        :meth:`sklearn_dl.EntityRecognizer.predict` or of its `predict_tags`. If one of `y_true` and
        `y_pred` has tags and the other has spans, the spans must count words, not characters.
    scheme : {"auto", "IO", "BIO", "IOB1", "BILOU", "BIOES"}, default="auto"
        The scheme of the tags in `y_true` and `y_pred`. "auto": IO if every tag in `y_true` except
        "O" starts with "I-", BIO if each entity starts with "B-", and an error for any other tags.
        If `y_true` has spans or no entities, the tags in `y_pred` determine the scheme in the same
        way. If `y_true` is IO, `y_pred` may be IO or BIO.
    average : {"micro", "macro", "weighted"} or None, default="micro"
        "micro": the score of the entities of all labels together. "macro": the mean over the
        labels in `y_true` or `y_pred`. "weighted": this mean, weighted by the number of entities
        in `y_true`. None: the score of each label.
    zero_division : {"warn", 0.0, 1.0, np.nan}, default="warn"
        The score if neither `y_true` nor `y_pred` has an entity. "warn": 0.0, with an
        `UndefinedMetricWarning`. NaN is left out of averages.

    Returns
    -------
    score : float or float64 ndarray of shape (n_labels,)
        From 0 to 1. An array, by sorted label, if `average` is None.

    Raises
    ------
    ValueError
        If the numbers of rows differ, or a parameter is out of range.
    RowError
        A ValueError with the number of the row. It is raised if a row is missing or malformed, if
        its entities overlap, if tags in `y_true` are illegal, if "auto" cannot determine the
        scheme, or if the numbers of tags differ.

    See Also
    --------
    entity_precision_recall_fscore_support : The same, with precision, recall and support.
    make_entities : Makes structured arrays of entities.

    Notes
    -----
    For legal tags, this is the score of seqeval [1]_ with ``mode="strict"``. An illegal sequence of
    tags in `y_pred`, such as an "I-" without a "B-" before it, is not an entity, as in seqeval. In
    `y_true` it raises an error, while seqeval ignores it silently. seqeval does not know IO; here,
    neighbours with the same label are one entity in IO. ML.NET's NamedEntityRecognition has no
    metrics.

    References
    ----------
    .. [1] Nakayama, seqeval: A Python framework for sequence labeling evaluation, 2018;
       https://github.com/chakki-works/seqeval

    Examples
    --------
    >>> from sklearn_dl.metrics import entity_f1_score
    >>> y_true = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]
    >>> y_pred = [["B-PER", "O", "O", "B-LOC"], ["O", "B-LOC"]]
    >>> round(entity_f1_score(y_true, y_pred), 3)
    0.667
    >>> entity_f1_score(y_true, y_pred, average=None)  # LOC, PER
    array([1., 0.])
    >>> entity_f1_score([[(0, 2, "PER")], []], [[(0, 2, "PER")], []])
    1.0
    """
    _, _, score, _ = _scores(
        y_true, y_pred, scheme, average=average, zero_division=zero_division, warn_for=("f-score",)
    )
    return score


def entity_precision_recall_fscore_support(
    y_true, y_pred, *, beta=1.0, labels=None, scheme="auto", average=None, zero_division="warn"
):
    """Precision, recall, F-score and support of entities.

    Parameters
    ----------
    y_true, y_pred
        As in :func:`entity_f1_score`.
    beta : float, default=1.0
        The weight of recall in the F-score.
    labels : sequence of str, default=None
        The labels that count, in the order of the results if `average` is None. None: all labels in
        `y_true` or `y_pred`, sorted.
    scheme
        As in :func:`entity_f1_score`.
    average : {"micro", "macro", "weighted"} or None, default=None
        As in :func:`entity_f1_score`.
    zero_division : {"warn", 0.0, 1.0, np.nan}, default="warn"
        The precision if `y_pred` has no entity, the recall if `y_true` has none, and the F-score if
        neither has one. "warn": 0.0, with an `UndefinedMetricWarning`. NaN is left out of averages.

    Returns
    -------
    precision, recall, fscore : float or float64 ndarray of shape (n_labels,)
        From 0 to 1. Arrays if `average` is None.
    support : None or int64 ndarray of shape (n_labels,)
        Number of entities of each label in `y_true`. None if `average` is not None.

    Raises
    ------
    ValueError
        As :func:`entity_f1_score` does.

    See Also
    --------
    entity_f1_score : Only the F1 score, for `make_scorer`. Its Notes say how entities are counted.
    sklearn.metrics.precision_recall_fscore_support : The same for classes.

    Examples
    --------
    >>> from sklearn_dl.metrics import entity_precision_recall_fscore_support
    >>> y_true = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]
    >>> y_pred = [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "B-LOC"]]
    >>> precision, recall, fscore, support = entity_precision_recall_fscore_support(y_true, y_pred)
    >>> precision.round(3), recall, support  # LOC, PER
    (array([0.667, 0.   ]), array([1., 0.]), array([2, 1]))
    """
    return _scores(
        y_true,
        y_pred,
        scheme,
        beta=beta,
        labels=labels,
        average=average,
        zero_division=zero_division,
    )


def _scores(y_true, y_pred, scheme, *, average, labels=None, **params):
    """Precision, recall, F-score and support, which scikit-learn computes from counts."""
    if average not in (None, "micro", "macro", "weighted"):
        raise ValueError(f"average={average!r} must be 'micro', 'macro', 'weighted' or None.")
    right, missed, wrong = _counts(*_read_both(y_true, y_pred, scheme))
    labels = sorted({*right, *missed, *wrong}) if labels is None else _checked_labels(labels)
    # scikit-learn gets pairs of classes with weights: 0 means "no entity", and each label has the
    # pairs right, missed and wrong; the first pair is there so that the lists are not empty
    true, predicted, weights = [0], [0], [1]
    for code, label in enumerate(labels, start=1):
        true += [code, code, 0]
        predicted += [code, 0, code]
        weights += [right[label], missed[label], wrong[label]]
    codes = list(range(1, len(labels) + 1))
    if not codes and average is not None:
        codes = [1]  # averages over no labels are as undefined as those of a label without entities
    precision, recall, fscore, support = precision_recall_fscore_support(
        true, predicted, labels=codes, average=average, sample_weight=weights, **params
    )
    return precision, recall, fscore, None if support is None else support.astype(np.int64)


def _checked_labels(labels):
    if (
        isinstance(labels, str)
        or not all(isinstance(label, str) for label in labels)
        or len({*labels}) < len(labels)
    ):
        raise ValueError(f"labels={labels!r} must be a list of distinct strings.")
    return list(labels)


def _read_both(y_true, y_pred, scheme):
    """The spans of each row of `y_true` and of `y_pred`."""
    true = read_entities(y_true, "y_true", scheme=scheme)
    pairs = zip(true.spans, true.n_tags, strict=True)
    if scheme == "auto" and any(spans and n_tags is not None for spans, n_tags in pairs):
        scheme = true.scheme
    if scheme == "IO":
        scheme = "auto"  # `predict_tags` returns BIO for an estimator that was fitted on IO
    predicted = read_entities(y_pred, "y_pred", scheme=scheme, strict=False)
    check_consistent_length(true.spans, predicted.spans)
    for row, (n_true, n_pred) in enumerate(zip(true.n_tags, predicted.n_tags, strict=True)):
        if n_true is not None and n_pred is not None and n_true != n_pred:
            raise RowError(f"y_true has {counted(n_true, 'tag')}, but y_pred has {n_pred}.", row)
    _refuse_characters(true, predicted.n_tags, "y_true")
    _refuse_characters(predicted, true.n_tags, "y_pred")
    return true.spans, predicted.spans


def _refuse_characters(entities, n_tags, name):
    """Raise an error if a span ends after the last word, where the other `y` has a tag per word."""
    for row, (spans, n_words) in enumerate(zip(entities.spans, n_tags, strict=True)):
        if spans and n_words is not None and spans[-1][1] > n_words:
            raise RowError(
                f"the entity {spans[-1]} of {name} ends after the last of "
                f"{counted(n_words, 'tag')}. If spans are compared with tags, they must count "
                "words, not characters.",
                row,
            )


def _counts(true, predicted):
    """Numbers of entities that are right, missed and wrong, by label."""
    right: Counter = Counter()
    missed: Counter = Counter()
    wrong: Counter = Counter()
    for known, found in zip(map(set, true), map(set, predicted), strict=True):
        right.update(label for _, _, label in known & found)
        missed.update(label for _, _, label in known - found)
        wrong.update(label for _, _, label in found - known)
    return right, missed, wrong
