"""Questions, contexts and answers that a tiny encoder learns."""

import numpy as np

from sklearn_dl import QuestionAnswerer

PAIRS = [
    ["where is the cat", "a cat in the red house"],
    ["where is the dog", "the old dog is in a big tree"],
    ["is it good", "a film 😀 very é good and fine"],
    ["what", "the plot is slow"],
]
GOLDS = ["house", {"text": ["big tree", "tree"], "answer_start": [20, 24]}, "very é good", "slow"]
X = np.array(PAIRS * 4, dtype=object)
Y = GOLDS * 4
# the red house is not in the context
UNANSWERABLE = ["is it red", "the old dog is in a big tree"]


def small(folder, **params):
    """An unfitted estimator, which learns X and Y in less than a second."""
    defaults = {"max_length": 60, "window_overlap": 8, "max_epochs": 30, "learning_rate": 3e-3}
    fixed = {"precision": "float32", "random_state": 0, "n_threads": 1}
    return QuestionAnswerer(folder, **defaults | fixed | params)


def quick(folder, **params):
    """An unfitted estimator that makes two passes over the rows."""
    return small(folder, **{"max_epochs": 2, "batch_size": 4} | params)


def listed(answers):
    """The answers without their scores, as a list of tuples."""
    return answers[["answer", "start", "end"]].tolist()


def assert_aligned(answers, context):
    """Each answer is what stands in the context, without white space around it."""
    for answer, start, end, score in answers.tolist():
        assert 0 <= score <= 1
        if start < 0:
            assert (answer, start, end) == ("", -1, -1)
        else:
            assert context[start:end] == answer == answer.strip() != ""
