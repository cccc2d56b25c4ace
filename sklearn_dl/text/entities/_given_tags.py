"""The tags of a head in the model's folder, and how they are turned into entities."""

import re

import numpy as np
from scipy.special import log_softmax, logsumexp

from sklearn_dl.models._folder_safety import short
from sklearn_dl.text._given_head import NoHeadError
from sklearn_dl.text.entities._tags import Tags
from sklearn_dl.training._ragged import Ragged


class GivenTags(Tags):
    """The problem of a head whose training data are not known: its tags may be IO, BIO or IOB1.

    Each word gets the most probable label, whether its tag is B- or I-. An entity starts where the
    label changes, and where B- is more probable than I-.

    Parameters
    ----------
    purpose : str
        As in `Tags`.
    labels : sequence of str
        The tags of the head's outputs.

    Attributes
    ----------
    order : list of int
        For each code (see `best_tags`), the output for its tag. A label that has only one of B- and
        I- uses the same output for both.
    only_begins : bool ndarray of shape (n_labels,)
        Which labels have no I-.

    Raises
    ------
    NoHeadError
        If the labels are not tags of these schemes.
    """

    def __init__(self, purpose, labels):
        super().__init__(purpose)
        outputs = {tag: number for number, tag in enumerate(labels)}
        for tag in labels:
            if tag != "O" and not re.fullmatch("[BI]-.+", tag):
                raise NoHeadError(
                    f"its head has the label {short(tag)}, but only the tags O, B- and I- can be "
                    "read (IO, BIO and IOB1)"
                )
        classes = sorted({tag[2:] for tag in labels if tag != "O"})
        if "O" not in outputs or not classes:
            raise NoHeadError("its head must have the tag O, and tags of entities")
        self.classes = np.array(classes, dtype=str)
        self.order = [outputs["O"]]
        for label in classes:
            tags = f"B-{label}", f"I-{label}"
            known = [outputs[tag] for tag in tags if tag in outputs]
            self.order += [known[0], known[-1]]
        self.only_begins = np.array([f"I-{label}" not in outputs for label in classes])

    def predictions(self, outputs):
        values = outputs.values
        label = self._label_logits(values).argmax(axis=1)
        label[~values.any(axis=1)] = 0  # words without tokens
        before = np.append(-1, label[:-1])
        before[outputs.starts[outputs.lengths > 0]] = -1
        words, inner = np.arange(len(values)), 2 * label
        begins = (label != before) | (values[words, inner - 1] > values[words, inner])
        begins |= np.append(False, self.only_begins)[label]
        return Ragged(np.where(label == 0, 0, inner - begins), outputs.lengths)

    def probabilities(self, outputs, codes):
        chosen = log_softmax(self._label_logits(outputs.values), axis=1)
        return np.exp(chosen[np.arange(len(codes)), (codes + 1) // 2])

    def _label_logits(self, values):
        """The logits of O and of each label: float64 ndarray of shape (n_words, 1 + n_labels)."""
        pairs = values[:, 1:].reshape(len(values), -1, 2)
        return np.column_stack([values[:, 0], logsumexp(pairs, axis=2)])
