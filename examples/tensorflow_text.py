"""Score texts with a TensorFlow network that takes keys
=====================================================

The steps are those of ML.NET's TensorFlow text tutorial: words become keys, short texts are padded,
and a small network scores them.

ML.NET's tutorial downloads reviews and a dictionary. Here, the texts are the first sentences of
docstrings (``_docstrings.py``), and a small Keras network learns which library they come from. For
your own texts, use ``table = pandas.read_csv("mine.csv")``, with the columns ``text`` and
``label``.
"""

import re
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from _docstrings import load_docstrings
from sklearn.metrics import ConfusionMatrixDisplay, classification_report
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_dl import LabelKeyMapper, ScoreClassifier, TensorFlowScorer

N_WORDS = 24


def words(texts):
    """Return the first words of each text, padded with "" to `N_WORDS` columns."""
    found = [re.findall(r"\w+", text.lower())[:N_WORDS] for text in texts]
    return np.array([row + [""] * (N_WORDS - len(row)) for row in found], dtype=object)


table = load_docstrings()
X_train, X_test, y_train, y_test = train_test_split(
    table["text"], table["label"], train_size=0.8, random_state=0
)

# %%
# :class:`~sklearn_dl.LabelKeyMapper` maps words to keys, with one dictionary for all columns. Key 0
# is for padding and for unknown words.
keys = make_pipeline(FunctionTransformer(words), LabelKeyMapper(shared=True, max_keys=5000))
codes = keys.fit_transform(X_train)
labels = np.unique(y_train)

# %%
# Train the network, and save it as a SavedModel.
tf.keras.utils.set_random_seed(0)
network = tf.keras.Sequential(
    [
        tf.keras.Input((N_WORDS,), dtype="int32", name="words"),
        tf.keras.layers.Embedding(5001, 32),
        tf.keras.layers.GlobalAveragePooling1D(),
        tf.keras.layers.Dense(32, activation="relu"),
        tf.keras.layers.Dense(len(labels), activation="softmax"),
    ]
)
network.compile("adam", "sparse_categorical_crossentropy")
network.fit(codes, np.searchsorted(labels, y_train), epochs=15, verbose=0)
folder = Path(tempfile.mkdtemp(), "model")
network.export(folder, verbose=False)

# %%
# One pipeline has all steps, from texts to labels.
pipe = make_pipeline(
    *(step for _, step in keys.steps), TensorFlowScorer(folder), ScoreClassifier(labels)
)
predicted = pipe.predict(X_test)
print(classification_report(y_test, predicted, digits=3))
ConfusionMatrixDisplay.from_predictions(y_test, predicted)
plt.show()

# %%
# Predict the library of new sentences.
news = ["Fit a forest of decision trees.", "Drop rows whose index is repeated."]
for text, label in zip(news, pipe.predict(news), strict=True):
    print(f"{label:>8}  {text}")
