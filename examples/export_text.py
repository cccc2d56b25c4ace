"""Export to ONNX: from a sentence to a label in one file
======================================================

A fitted text classifier becomes one file that takes strings and returns labels. The tokenizer is
inside. ONNX Runtime runs the file in C#, Java, C++ or JavaScript, or, as here, in a Python process
without scikit-learn and torch.

The texts are the first sentences of docstrings, and the labels are the libraries that they come
from (``_docstrings.py``).
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from _docstrings import load_docstrings
from sklearn.model_selection import train_test_split

from sklearn_dl import OnnxScorer, TextClassifier
from sklearn_dl.export import to_onnx

table = load_docstrings()
train, test = train_test_split(table, train_size=300, test_size=100, random_state=0)
clf = TextClassifier(trainable_layers=0, precision="float32").fit(train["text"], train["label"])

# %%
# The second argument is a sample of the data. ``to_onnx`` runs the file on it, and compares the
# results with those of the classifier. The input of the file has the name of the column, ``text``.
model = to_onnx(clf, test[["text"]].head(20), verbose=1)
folder = Path(tempfile.mkdtemp())
path = folder / "classifier.onnx"
path.write_bytes(model.SerializeToString())

# %%
# Another process predicts. It imports only onnxruntime and numpy.
program = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
texts = np.array(json.load(sys.stdin), dtype=object).reshape(-1, 1)
label, probabilities = session.run(["label", "probabilities"], {"text": texts})
assert not {"torch", "sklearn", "transformers", "sklearn_dl"} & set(sys.modules)
json.dump(label.tolist(), sys.stdout)
"""
texts = json.dumps(test["text"].tolist())
finished = subprocess.run(
    [sys.executable, "-c", program, path], input=texts, capture_output=True, text=True, check=True
)
predicted = json.loads(finished.stdout)
equal = (clf.predict(test["text"]) == predicted).sum()
print(f"{equal} of {len(test)} labels are equal")

# %%
# Weights can be stored in float16 or int8. ONNX Runtime converts them back when it loads the file.
models = {"float32": model}
for weights in ("float16", "int8"):
    models[weights] = to_onnx(clf, test[["text"]].head(20), weights=weights)
sizes = {}
for weights, small in models.items():
    labels = OnnxScorer(small, outputs="label").transform(test[["text"]])[:, 0]
    sizes[weights] = small.ByteSize() / 1e6
    accuracy = (labels == test["label"].to_numpy()).mean()
    print(f"{weights}: {sizes[weights]:.0f} MB, accuracy {accuracy:.3f}")

axes = pd.Series(sizes).plot.barh(ylabel="weights", xlabel="size of the file in MB")
axes.figure.tight_layout()
plt.show()
