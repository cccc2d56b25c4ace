"""Search the parameters: at random, and with Optuna
=================================================

Which regularisation, which learning rate, how many epochs?

Every estimator that trains a network has a method ``search_space``. It returns the parameters that
matter, with the values to try. scikit-learn's searches take them as they are; for Optuna, a
function of five lines converts them.

The texts are the first sentences of docstrings (``_docstrings.py``). For your own texts, use
``table = pandas.read_csv("mine.csv")``, with the columns ``text`` and ``label``.
"""

import tempfile

import matplotlib.pyplot as plt
import optuna
from _docstrings import load_docstrings
from sklearn.base import clone
from sklearn.model_selection import RandomizedSearchCV, train_test_split

from sklearn_dl import TextClassifier

table = load_docstrings()
rows, test = train_test_split(table, train_size=240, test_size=250, random_state=0)


def compare(default, best):
    for name, clf in {"default parameters": default, "best parameters": best}.items():
        accuracy = clf.fit(rows["text"], rows["label"]).score(test["text"], test["label"])
        print(f"{name}: accuracy {accuracy:.3f} on rows that no search has seen")


# %%
# A frozen encoder
# ----------------
# If the encoder is not trained, only the regularisation of the logistic regression is searched.
# With ``memory``, all candidates share the embeddings, so that each one takes milliseconds.
with tempfile.TemporaryDirectory() as folder:
    frozen = TextClassifier(trainable_layers=0, memory=folder)
    search = RandomizedSearchCV(frozen, frozen.search_space(), n_iter=15, cv=3, random_state=0)
    search.fit(rows["text"], rows["label"])
    print(f"best C: {search.best_params_['C']:.2f}")
    compare(frozen, search.best_estimator_)

# %%
# A fine-tuned encoder
# --------------------
# Now three parameters are searched. To save time, only the last layer of the encoder is trained.
tuned = TextClassifier(trainable_layers=1, random_state=0)
space = tuned.search_space()
print("lists:", {name: values for name, values in space.items() if isinstance(values, list)})
print("learning rates from {:g} to {:g}".format(*space["learning_rate"].support()))


# %%
# Optuna draws the values itself, and learns from earlier trials which values are good.
def suggest(trial, name, values):
    if isinstance(values, list):
        return trial.suggest_categorical(name, values)
    low, high = values.support()
    return trial.suggest_float(name, low, high, log=values.dist.name == "loguniform")


# %%
# scikit-learn calls a callback after each epoch. This one tells Optuna the accuracy on the
# validation rows so far. If earlier trials were better after the same number of epochs, Optuna ends
# the trial.
train, validation = train_test_split(rows, train_size=120, stratify=rows["label"], random_state=0)


class Pruning:
    def __init__(self, trial):
        self.trial, self.n_epochs = trial, 0

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context, **kwargs): ...

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None, **kwargs):
        if context.task_name == "epoch":
            self.n_epochs += 1
            accuracy = fitted_estimator.score(validation["text"], validation["label"])
            self.trial.report(accuracy, self.n_epochs)
            if self.trial.should_prune():
                raise optuna.TrialPruned


def objective(trial):
    params = {name: suggest(trial, name, values) for name, values in space.items()}
    clf = clone(tuned).set_params(**params).set_callbacks(Pruning(trial))
    clf.fit(train["text"], train["label"])
    return clf.score(validation["text"], validation["label"])


# %%
# The first trial has the default parameters. Here they are all numbers; leave out an "auto".
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(
    direction="maximize",
    sampler=optuna.samplers.TPESampler(n_startup_trials=4, seed=0),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
)
study.enqueue_trial({name: getattr(tuned, name) for name in space})
study.optimize(objective, n_trials=8)

# %%
# The best parameters, fitted to all rows of the search.
print(study.best_params)
compare(tuned, clone(tuned).set_params(**study.best_params))

_, axes = plt.subplots(layout="constrained")
for trial in study.trials:
    epochs, accuracies = zip(*trial.intermediate_values.items(), strict=True)
    pruned = trial.state == optuna.trial.TrialState.PRUNED
    label = f"{trial.params['learning_rate']:.0e}" + " (pruned)" * pruned
    axes.plot(epochs, accuracies, "x--" if pruned else "o-", label=label)
axes.set(xlabel="epoch", ylabel="accuracy on validation rows", xticks=range(1, 5))
axes.legend(title="learning rate", loc="lower right")
plt.show()

# %%
# The defaults are good for such texts, so that a search gains little. With so few rows, differences
# of a hundredth or two are chance: the order of such candidates means nothing. A search is worth
# its time if there are enough rows to tell candidates apart, or if the defaults do badly.
