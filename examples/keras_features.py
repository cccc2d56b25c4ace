"""A Keras network as a step of a grid search
==========================================

The hidden layer of a trained network replaces the pixels of images, and scikit-learn searches for
the best steps after it. The pickle of the best pipeline contains the network.
"""

import pickle
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_dl import TensorFlowScorer

X, y = load_digits(return_X_y=True)
X = X / 16
X_pretrain, X_rest, y_pretrain, y_rest = train_test_split(X, y, train_size=900, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X_rest, y_rest, train_size=100, random_state=0)

# %%
# Another team has trained this network on 900 digits. We have only 100 digits.
tf.keras.utils.set_random_seed(0)
inputs = tf.keras.Input((64,), name="pixels")
hidden = tf.keras.layers.Dense(64, activation="relu", name="hidden")(inputs)
network = tf.keras.Model(inputs, tf.keras.layers.Dense(10, activation="softmax")(hidden))
network.compile("adam", "sparse_categorical_crossentropy")
network.fit(X_pretrain, y_pretrain, epochs=20, verbose=0)
path = Path(tempfile.mkdtemp(), "hidden.keras")
tf.keras.Model(inputs, hidden).save(path)

# %%
# Does the hidden layer help, and how much regularisation does the classifier need?
pipe = make_pipeline(TensorFlowScorer(path), PCA(), LogisticRegression(max_iter=1000))
search = GridSearchCV(
    pipe,
    {
        "tensorflowscorer": [TensorFlowScorer(path), "passthrough"],
        "pca__n_components": [10, 30, None],
        "logisticregression__C": [0.1, 1, 10],
    },
    cv=3,
)
search.fit(X_train, y_train)
used = search.best_params_["tensorflowscorer"] != "passthrough"
print(f"best: {'the hidden layer' if used else 'the pixels'}, {search.best_score_:.3f} in 3 folds")
print(f"on {len(y_test)} other digits: {search.score(X_test, y_test):.3f}")

# %%
# The best candidates with the hidden layer, and with the pixels instead.
results = pd.DataFrame(search.cv_results_)
with_network = results["param_tensorflowscorer"] != "passthrough"
results["columns"] = with_network.map({True: "the hidden layer", False: "the pixels"})
best = results.pivot_table(
    "mean_test_score", "param_logisticregression__C", "columns", aggfunc="max"
)
best.plot(logx=True, marker="o", xlabel="C of the classifier", ylabel="accuracy in 3 folds")
plt.show()

# %%
# The pickle contains the network, so it also works after the file is deleted.
data = pickle.dumps(search.best_estimator_)
path.unlink()
again = pickle.loads(data)
print(f"the pickle has {len(data) / 1000:.0f} kB and predicts {again.predict(X_test[:5])}")
