"""A grid search over fine-tuning, with a progress bar
===================================================

How much of the encoder to train, and how fast?

The bar of scikit-learn's :class:`~sklearn.callback.ProgressBar` reaches from the search through its
folds down to the epochs. The texts are first sentences of docstrings (``_docstrings.py``). With a
table of your own: ``table = pd.read_csv("mine.csv")``, with the columns ``text`` and ``label``.
"""

import matplotlib.pyplot as plt
import pandas as pd
from _docstrings import load_docstrings
from sklearn.callback import ProgressBar
from sklearn.model_selection import GridSearchCV

from sklearn_dl import TextClassifier, TextEncoder

# %%
# A few rows and one epoch, so that it takes seconds.
table = load_docstrings().sample(500, random_state=0)
table, rest = table[:200], table[200:]

# %%
# With 0 layers a logistic regression is solved on the vectors of the frozen encoder, and the
# learning rate has no meaning; so there are two grids. The network is loaded before, so that no
# candidate's time has that in it.
TextEncoder().transform(table["text"])
search = GridSearchCV(
    TextClassifier(max_epochs=1, random_state=0),
    [
        {"trainable_layers": [0]},
        {"trainable_layers": [1, "all"], "learning_rate": [1e-4, 3e-4]},
    ],
    cv=2,
)
search.set_callbacks(ProgressBar(max_propagation_depth=None))
search.fit(table["text"], table["label"])

# %%
# What each candidate reached, and what it cost.
results = pd.DataFrame(search.cv_results_).sort_values("rank_test_score")
columns = ["param_trainable_layers", "param_learning_rate", "mean_test_score", "mean_fit_time"]
print(results[columns].round(4).to_string(index=False))
print("best:", search.best_params_)
print(f"on {len(rest)} other rows: {search.score(rest['text'], rest['label']):.3f}")

_, axes = plt.subplots(layout="constrained")
for layers, group in results.groupby(results["param_trainable_layers"].astype(str)):
    axes.errorbar(
        group["mean_fit_time"],
        group["mean_test_score"],
        group["std_test_score"],
        fmt="o",
        capsize=3,
        label=f"trainable_layers={layers}",
    )
axes.set(xlabel="seconds of a fit", ylabel="accuracy in 2 folds, and its deviation")
axes.legend()
plt.show()
