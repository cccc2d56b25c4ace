"""load_conll: sentences whose words have tags, from a text file of columns."""

import re
from numbers import Integral
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_dl.utils._columns import counted
from sklearn_dl.utils._messages import brief
from sklearn_dl.utils._sklearn import validate_parameter_constraints

_CONSTRAINTS = {
    "return_X_y": ["boolean"],
    "word_column": [Integral],
    "tag_column": [Integral],
    "separator": [str, None],
    "encoding": [str],
}
# `str.splitlines` would also split at characters that may be inside a word
_LINE_END = re.compile("\r\n|\r|\n")
_BLANKS = " \t"


def load_conll(
    path, *, return_X_y=False, word_column=0, tag_column=-1, separator=None, encoding="utf-8"
):
    r"""Load sentences of tagged words from a file in the format of CoNLL 2003.

    Each line has a word and its tag, and may have other columns. An empty line ends a sentence. A
    line that starts with ``-DOCSTART-`` is not a word: it begins a document.

    Parameters
    ----------
    path : str or path-like
        A text file.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.
    word_column : int, default=0
        Column of the words. Negative numbers count from the last column.
    tag_column : int, default=-1
        Column of the tags. Negative numbers count from the last column.
    separator : str, default=None
        The text between two columns. None: one or more ASCII spaces or tabs. Other white space,
        such as a non-breaking space, is then part of the word. With a separator, a column may
        contain spaces.
    encoding : str, default="utf-8"
        Encoding of the file. A byte order mark at the start is ignored.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With these attributes:

        data : list of list of str
            The words of each sentence.
        target : list of list of str
            The tags of these words, as they are in the file.
        document : ndarray of shape (n_sentences,), dtype int64
            The number of the document of each sentence, from 0. Pass it as `groups` to
            :class:`~sklearn.model_selection.GroupKFold` to keep each document in one fold.

    (data, target) : tuple if `return_X_y` is True
        `data` and `target` of the Bunch.

    Raises
    ------
    ValueError
        If a line has too few columns, more or fewer columns than the first line, or an empty word
        or tag; if a byte does not belong to the encoding; or if the file has no words. The message
        names the file and the line.

    See Also
    --------
    load_squad : Questions, contexts and answers.

    Notes
    -----
    Lines end with a line feed, a carriage return, or both. A line of spaces is an empty line. The
    format has no comments: a line that starts with ``#`` is a word.

    References
    ----------
    E. F. Tjong Kim Sang and F. De Meulder. "Introduction to the CoNLL-2003 Shared Task:
    Language-Independent Named Entity Recognition". CoNLL 2003.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_dl.datasets import load_conll
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "tags.txt"
    ...     _ = path.write_text("Ada B-PER\nLovelace I-PER\nwrites O\n\nParis B-LOC\n")
    ...     sentences = load_conll(path)
    >>> sentences.data
    [['Ada', 'Lovelace', 'writes'], ['Paris']]
    >>> sentences.target
    [['B-PER', 'I-PER', 'O'], ['B-LOC']]
    """
    parameters = {
        "return_X_y": return_X_y,
        "word_column": word_column,
        "tag_column": tag_column,
        "separator": separator,
        "encoding": encoding,
    }
    validate_parameter_constraints(_CONSTRAINTS, parameters, caller_name="load_conll")
    columns = _Columns(word_column, tag_column, separator)
    data, target, document = [], [], []
    words, tags, n_documents = [], [], 0
    # the empty line that is added ends the last sentence
    for number, line in enumerate([*_LINE_END.split(_decoded(path, encoding)), ""], start=1):
        is_document = line.startswith("-DOCSTART-")
        if not is_document and line.strip(_BLANKS):
            word, tag = columns.read(line, f"{path}, line {number}")
            words.append(word)
            tags.append(tag)
            continue
        if words:
            data.append(words)
            target.append(tags)
            document.append(n_documents)
            words, tags = [], []
        if is_document:
            # only documents with sentences count: a file may start and end with -DOCSTART-
            n_documents = document[-1] + 1 if document else 0
    if not data:
        raise ValueError(f"{path} has no words.")
    if return_X_y:
        return data, target
    return Bunch(data=data, target=target, document=np.array(document, dtype=np.int64))


def _decoded(path, encoding):
    """The text of a file, without a byte order mark."""
    content = Path(path).read_bytes()
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding)
        number = len(_LINE_END.findall(before)) + 1
        raise ValueError(
            f"{path}, line {number}: the byte 0x{content[error.start]:02x} is not {encoding}. Pass "
            "the encoding of the file, for example encoding='latin-1'."
        ) from error


class _Columns:
    """Reads the word and the tag of each line, and checks the number of columns."""

    def __init__(self, word_column, tag_column, separator):
        self.word_column = word_column
        self.tag_column = tag_column
        self.separator = separator
        self.n_columns = None

    def read(self, line, place):
        """The word and the tag of a line; an error message starts with `place`."""
        if self.separator is None:
            cells = re.split(f"[{_BLANKS}]+", line.strip(_BLANKS))
        else:
            cells = line.split(self.separator)
        shown = f"{place}: {brief(line)} has {counted(len(cells), 'column')}"
        if self.n_columns is None:
            self.n_columns = len(cells)
            for name in ("word_column", "tag_column"):
                column = getattr(self, name)
                if not -len(cells) <= column < len(cells):
                    raise ValueError(f"{shown}, but {name}={column}.")
            if (self.word_column - self.tag_column) % len(cells) == 0:
                raise ValueError(
                    f"{shown}, so word_column={self.word_column} and tag_column={self.tag_column} "
                    "are the same column. Pass `separator` if the file has another separator."
                )
        if len(cells) != self.n_columns:
            raise ValueError(f"{shown}, but the first line with a word has {self.n_columns}.")
        word, tag = cells[self.word_column], cells[self.tag_column]
        if not word or not tag:
            raise ValueError(f"{place}: {brief(line)} has an empty word or tag.")
        return word, tag
