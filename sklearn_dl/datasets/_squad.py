"""load_squad: questions, contexts and answers from a JSON file of SQuAD."""

from sklearn.utils import Bunch

from sklearn_dl.datasets._json import JsonFormat
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._messages import brief
from sklearn_dl.utils._optional import import_optional
from sklearn_dl.utils._sklearn import validate_parameter_constraints

_CONSTRAINTS = {"return_X_y": ["boolean"], "as_frame": ["boolean"]}
_COLUMNS = ["question", "context"]
_SQUAD = JsonFormat("SQuAD")


def load_squad(path, *, return_X_y=False, as_frame=False):
    """Load questions, contexts and answers from a file in the format of SQuAD 1.1 or 2.0.

    Parameters
    ----------
    path : str or path-like
        A JSON file with articles (``data``). Each article has ``paragraphs``. Each paragraph has a
        ``context`` and questions (``qas``) with ``answers``.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        If True, `data` is a pandas DataFrame and `target` a pandas Series.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With these attributes:

        data : ndarray of shape (n_questions, 2), dtype object
            The question and its context, as str. A DataFrame if `as_frame` is True.
        target : list of dict
            The gold answers of each question: ``"text"`` (list of str) and ``"answer_start"``
            (list of int, the position of the first character in the context). Both are empty for a
            question that the context does not answer. A Series if `as_frame` is True.
        feature_names : list of str
            ``["question", "context"]``.
        id : ndarray of shape (n_questions,), dtype object
            The identifier of each question, as str.
        title : ndarray of shape (n_questions,), dtype object
            The title of each question's article, as str. Pass it as `groups` to
            :class:`~sklearn.model_selection.GroupKFold` to keep each article in one fold.

    (data, target) : tuple if `return_X_y` is True
        `data` and `target` of the Bunch.

    Raises
    ------
    ValueError
        If the file is not JSON, a key of the format is missing, a value has another type, the text
        of an answer is not in the context at ``answer_start``, or ``is_impossible`` contradicts the
        answers. The message names the file and the place in it.
    ImportError
        If `as_frame` is True and pandas is not installed.

    See Also
    --------
    load_conll : Sentences of tagged words.

    Notes
    -----
    The ``plausible_answers`` of SQuAD 2.0 are not read: they are wrong answers.

    References
    ----------
    P. Rajpurkar, R. Jia and P. Liang. "Know What You Don't Know: Unanswerable Questions for SQuAD".
    ACL 2018. https://rajpurkar.github.io/SQuAD-explorer

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_dl.datasets import load_squad
    >>> answer = {"text": "Paris", "answer_start": 13}
    >>> qas = [{"id": "1", "question": "Where does Ada live?", "answers": [answer]}]
    >>> paragraph = {"context": "Ada lives in Paris.", "qas": qas}
    >>> content = {"data": [{"title": "Ada", "paragraphs": [paragraph]}]}
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "answers.json"
    ...     _ = path.write_text(json.dumps(content))
    ...     X, y = load_squad(path, return_X_y=True)
    >>> X
    array([['Where does Ada live?', 'Ada lives in Paris.']], dtype=object)
    >>> y
    [{'text': ['Paris'], 'answer_start': [13]}]
    """
    parameters = {"return_X_y": return_X_y, "as_frame": as_frame}
    validate_parameter_constraints(_CONSTRAINTS, parameters, caller_name="load_squad")
    rows = list(_questions(path))
    if not rows:
        raise ValueError(f"{path} has no questions.")
    questions, contexts, target, ids, titles = map(list, zip(*rows, strict=True))
    data = object_array(questions + contexts).reshape(2, -1).T
    if as_frame:
        pandas = import_optional("pandas", extra="demo", purpose="load_squad(as_frame=True)")
        data = pandas.DataFrame(data, columns=_COLUMNS)
        target = pandas.Series(target, name="answers")
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        feature_names=list(_COLUMNS),
        id=object_array(ids),
        title=object_array(titles),
    )


def _questions(path):
    """Yield the question, context, answers, identifier and title of each question of a file."""
    content = _SQUAD.read(path)
    for article, in_file in _SQUAD.items(content, "data", str(path)):
        title = _SQUAD.value(article, "title", in_file, str)
        for paragraph, in_article in _SQUAD.items(article, "paragraphs", in_file):
            context = _SQUAD.value(paragraph, "context", in_article, str)
            for question, in_paragraph in _SQUAD.items(paragraph, "qas", in_article):
                identifier = _SQUAD.value(question, "id", in_paragraph, str)
                text = _SQUAD.value(question, "question", in_paragraph, str)
                place = f"{in_paragraph} (title {brief(title)}, id {brief(identifier)})"
                yield text, context, _answers(question, context, place), identifier, title


def _answers(question, context, place):
    """The texts and starts of the answers to a question, as lists."""
    texts, starts = [], []
    for answer, where in _SQUAD.items(question, "answers", place):
        text = _SQUAD.value(answer, "text", where, str)
        start = _SQUAD.value(answer, "answer_start", where, int)
        there = context[start : start + len(text)] if start >= 0 else ""
        if not text or there != text:
            raise ValueError(
                f"{where}: the context has {brief(there)} at answer_start={start}, but the text of "
                f"the answer is {brief(text)}."
            )
        texts.append(text)
        starts.append(start)
    # SQuAD 1.1 does not have this key
    is_impossible = question.get("is_impossible", not texts)
    if is_impossible != (not texts):
        raise ValueError(f"{place}: is_impossible={is_impossible!r}, but answers={texts!r}.")
    return {"text": texts, "answer_start": starts}
