"""Labels of the classes: from the parameter `classes`, or from the file's metadata."""

import ast
import re
from collections.abc import Mapping, Set

import numpy as np

from sklearn_dl.metrics._boxes import LONGEST_LABEL
from sklearn_dl.utils._columns import is_missing
from sklearn_dl.utils._messages import brief

# 10,000 names of 100 characters
_LONGEST = 2**20
_STRING = r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+\""""
# a list or a dict of strings; possessive quantifiers, so that the time is linear
_FLAT = re.compile(rf"\[(?:{_STRING}|[\s,])*+\]|\{{(?:{_STRING}|[\s\d:,])*+\}}")


def class_labels(classes):
    """Return the parameter `classes` as an ndarray of labels, or None.

    Parameters
    ----------
    classes : sequence, dict of int to label, or None

    Raises
    ------
    ValueError
        If `classes` does not have one label for each class.
    """
    if classes is None:
        return None
    if isinstance(classes, Mapping):
        # JSON turns the class indices into strings
        by_index = {
            int(key) if isinstance(key, str) and key.isdecimal() else key: label
            for key, label in classes.items()
        }
        missing = [index for index in range(len(classes)) if index not in by_index]
        if missing:
            raise ValueError(
                f"`classes` is a dict of {len(classes)} labels, but class {missing[0]} has no "
                f"label: the keys must be the class indices 0, 1, ...; got {list(classes)[:5]}."
            )
        classes = [by_index[index] for index in range(len(classes))]
    elif isinstance(classes, (str, bytes, Set)):
        raise ValueError(
            f"`classes` is a {type(classes).__name__}; pass a list of labels in the "
            "network's order, or a dict from class indices to labels."
        )
    labels = classes if isinstance(classes, np.ndarray) else list(classes)
    missing = [index for index, label in enumerate(labels) if is_missing(label)]
    array = np.asarray(labels)
    if array.ndim != 1 or not len(array) or missing:
        seen = f"class {missing[0]} has none" if missing else f"its shape is {array.shape}"
        raise ValueError(f"`classes` must have one label per class, but {seen}.")
    if len({isinstance(label, str) for label in labels}) > 1:
        raise ValueError(
            f"`classes` has strings and other labels, such as {brief(list(labels)[:5])}: pass "
            "labels of one kind."
        )
    return array


def metadata_labels(metadata):
    """Return the labels that Ultralytics writes into a file, as an ndarray of str, or None.

    Parameters
    ----------
    metadata : dict of str to str
        Its entry "names" is a Python literal: a dict from class indices to names, or a list. An
        entry of any other form is ignored, because the file may come from a stranger.
    """
    text = metadata.get("names", "").strip()
    # no nesting: deep nesting can crash Python's parser
    if len(text) > _LONGEST or not _FLAT.fullmatch(text):
        return None
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            return None
        names = [names[index] for index in range(len(names))]
    fit = all(isinstance(name, str) and len(name) <= LONGEST_LABEL for name in names)
    return np.array(names) if names and fit else None
