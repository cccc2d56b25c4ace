"""Answer questions: find the default of a parameter
=================================================

A question is "What is the default of max_iter in KMeans?", and its context is a part of the
documentation of ``KMeans``. The context describes up to three parameters, so the answer depends on
the question.

The packaged encoder learns only half of the task: it finds a default, but not the one that the
question asks for. A single score would hide this. The example shows how to find it out.

The contexts are real: they come from scikit-learn's docstrings. The script makes the questions and
answers by a rule that the network does not know. For a data set of your own, use
``X, y = load_squad("mine.json", return_X_y=True)``.
"""

import inspect
import re
from importlib import import_module

import numpy as np
import pandas as pd
from _docstrings import AREAS, SENTENCE_END

from sklearn_dl import QuestionAnswerer
from sklearn_dl.metrics import answer_f1_score, exact_match_score

# %%
# Collect the parameters of each public function and class: the name, the type with the default, and
# the first sentence of the description.
SECTION = re.compile(r"^Parameters\n-{3,}\n((?:.*\n)*?)(?=.+\n-{3,}$|\Z)", re.M)
PARAMETER = re.compile(r"^(\w+) ?: ?(.+)\n((?:[ \t]+.*\n|\n)+)", re.M)
DEFAULT = re.compile(r"default=(.+)$")


def parameters_of(thing):
    """Return (name, type and default, first sentence) of each parameter."""
    docstring = (inspect.getdoc(thing) or "").replace("\\\n", "")
    section = SECTION.search(docstring)
    return [
        (name, " ".join(kind.split()), SENTENCE_END.split(" ".join(text.split()))[0])
        for name, kind, text in PARAMETER.findall(section[1] if section else "")
    ]


documented = {}
for area in AREAS["sklearn"].split(" "):
    module = import_module(f"sklearn.{area}")
    for owner in sorted(set(module.__all__) & set(vars(module))):
        documented[owner] = parameters_of(getattr(module, owner))

# %%
# The table has a row for each parameter. The context starts with this parameter, or with one or two
# parameters before it. The answer is (text, start), or None if the parameter has no default.
rows = []
rng = np.random.default_rng(0)
for owner, parameters in documented.items():
    for position, (name, kind, _) in enumerate(parameters):
        first = max(0, min(position - rng.integers(3), len(parameters) - 3))
        lines = [f"{a} : {b}. {c}" for a, b, c in parameters[first : first + 3]]
        before = len(" ".join([*lines[: position - first], ""])) if position > first else 0
        default = DEFAULT.search(kind)
        start = before + len(f"{name} : ") + default.start(1) if default else -1
        answer = (default[1], start) if default else None
        question = f"What is the default of {name} in {owner}?"
        rows.append((question, " ".join(lines), answer, owner))
table = pd.DataFrame(rows, columns=["question", "context", "answer", "owner"])
table = table[table["context"].str.len() <= 300]  # long ones would take more time
print(f"{len(table)} parameters, {table['answer'].isna().mean():.0%} of them without a default")
for column, cell in table.iloc[10].items():
    print(f"{column}: {cell}")

# %%
# Train on some functions and classes, and test on others.
owners = rng.permutation(table["owner"].unique())
is_test = table["owner"].isin(owners[: len(owners) // 3])
train = table[~is_test].sample(220, random_state=0)
test = table[is_test].sample(100, random_state=0)
answerer = QuestionAnswerer(random_state=0)
answerer.fit(train[["question", "context"]], train["answer"].tolist())

# %%
# An answer is an exact match if it is the same text, apart from letter case and punctuation. The F1
# score also counts answers that share some of the words. The rival ignores the question: it returns
# the first default in the context.
found = answerer.predict(test[["question", "context"]])
y_test = test["answer"].tolist()
first_defaults = test["context"].str.extract(r"default=(.+?)\. ", expand=False).fillna("").tolist()
scores = {
    name: {
        "exact match": exact_match_score(y_test, answers),
        "F1": answer_f1_score(y_test, answers),
    }
    for name, answers in {"first default": first_defaults, "QuestionAnswerer": found}.items()
}
print(pd.DataFrame(scores).T.round(2))

# %%
# How often is the answer a default, and how often is it the right one? The last column is the share
# of "no answer".
has_answer = test["answer"].notna().to_numpy()
starts = np.array([-1 if answer is None else answer[1] for answer in y_test])
preceding = [
    context[:start] for context, start in zip(test["context"], found["start"], strict=True)
]
print(
    pd.DataFrame(
        {
            "a default": [text.endswith("default=") for text in preceding],
            "at the right place": found["start"] == starts,
            "no answer": found["answer"] == "",
        }
    )
    .groupby(np.where(has_answer, "parameters with a default", "without"))
    .mean()
    .round(2)
)
n_defaults = test.loc[has_answer, "context"].str.count("default=")
print(f"a default drawn at random is the right one in {(1 / n_defaults).mean():.0%} of the rows")

# %%
# The network has learned to find defaults and, less well, to say when a context has none. It has
# not learned to look for the parameter in the question: among the defaults of a context, it is no
# better than chance. The packaged encoder was made for comparing sentences, and is weak at this
# task. If you have an encoder that was pretrained for questions and answers, use
# ``QuestionAnswerer("folder")``.
#
# ``top_k`` shows how uncertain the network is. It returns the three best answers to a question,
# with their probabilities. Each answer is ``context[start:end]``.
row = test[has_answer].iloc[[0]]
(best,) = answerer.top_k(row[["question", "context"]], 3)
print(row["question"].item())
print(row["context"].item())
print(pd.DataFrame(best).round(3).to_string(index=False))
