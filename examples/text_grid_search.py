"""A grid search over fine-tuning, with a progress bar
===================================================

How many layers of the encoder should be trained, and with which learning rate?

scikit-learn's :class:`~sklearn.callback.ProgressBar` shows the progress of the search, down to the
epochs of each fit. The texts are the first sentences of docstrings (``_docstrings.py``). For your
own texts, use ``table = pd.read_csv("mine.csv")``, with the columns ``text`` and ``label``.
"""

import matplotlib.pyplot as plt
import pandas as pd
from _docstrings import load_docstrings
from sklearn.callback import ProgressBar
from sklearn.model_selection import GridSearchCV

from sklearn_dl import TextClassifier, TextEncoder

# %%
# The search uses few rows and one epoch, so that it takes seconds.
table = load_docstrings().sample(500, random_state=0)
table, rest = table[:200], table[200:]

# %%
# With ``trainable_layers=0``, a logistic regression is fitted to the embeddings of the frozen
# encoder, and there is no learning rate. So there are two grids. The first line loads the network,
# so that no candidate's time includes the loading.
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
# The accuracy of each candidate, and the time of a fit.
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
axes.set(xlabel="seconds of a fit", ylabel="accuracy in 2 folds, with its deviation")
axes.legend()
plt.show()
