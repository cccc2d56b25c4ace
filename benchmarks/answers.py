"""Quality of answers with the packaged encoder, on articles that it was not trained on."""

import time

import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from benchmarks._shared import data
from sklearn_dl import QuestionAnswerer
from sklearn_dl.datasets import load_squad
from sklearn_dl.metrics import answer_f1_score, exact_match_score

N_TEST = 300
N_QUICK = 40


def questions():
    """Questions and answers of XQuAD in English: 839 to train on, and 300 about other articles."""
    squad = load_squad(data("qa/xquad.en.json"))
    split = GroupShuffleSplit(1, test_size=0.3, random_state=2)
    ((train, test),) = split.split(squad.data, groups=squad.title)
    for rows in (train, test[:N_TEST]):
        yield squad.data[rows], [squad.target[row] for row in rows]


def run(quick=False):
    (X, y), (X_test, y_test) = questions()
    if quick:
        X, y, X_test, y_test = X[:N_QUICK], y[:N_QUICK], X_test[:N_QUICK], y_test[:N_QUICK]
    exact, f1, fitting, predicting = [], [], [], []
    for seed in range(1 if quick else 3):
        before = time.process_time()
        model = QuestionAnswerer(random_state=seed).fit(X, y)
        between = time.process_time()
        answers = model.predict(X_test)
        fitting.append(between - before)
        predicting.append(time.process_time() - between)
        exact.append(exact_match_score(y_test, answers))
        f1.append(answer_f1_score(y_test, answers))
    seconds = f"{np.mean(fitting):.0f} + {np.mean(predicting):.0f}"
    return [
        {
            "what": f"XQuAD (en), {len(X)} questions to train, {len(X_test)} of other articles",
            "rival": "",
            "text": f"exact match {_mean(exact)}, F1 {_mean(f1)}, {seconds} CPU seconds to fit and "
            "to predict",
        }
    ]


def _mean(values):
    return f"{np.mean(values):.3f} (of {', '.join(f'{v:.3f}' for v in values)})"
