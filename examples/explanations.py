"""Why did it predict that?
========================

This example shows the worst mistakes of a classifier, and the words of a text or the regions of an
image that moved a prediction.

The texts are the first sentences of docstrings (``_docstrings.py``); a label is the library that a
sentence comes from. The images are those of scikit-learn.
"""

import matplotlib.pyplot as plt
from _docstrings import load_docstrings
from sklearn.datasets import load_sample_images
from sklearn.model_selection import train_test_split

from sklearn_dl import TextClassifier
from sklearn_dl.inspection import (
    ImageExplanationDisplay,
    MistakesDisplay,
    TextExplanationDisplay,
)
from sklearn_dl.scoring import image_pipeline

# %%
# A classifier of texts, trained in seconds because the encoder stays frozen.
table = load_docstrings()
X_train, X_test, y_train, y_test = train_test_split(
    table["text"], table["label"], train_size=400, test_size=100, random_state=0
)
clf = TextClassifier(trainable_layers=0, random_state=0).fit(X_train, y_train)
print(f"accuracy on {len(X_test)} other sentences: {clf.score(X_test, y_test):.3f}")

# %%
# Its worst mistakes: the rows whose true class got the lowest probability.
mistakes = MistakesDisplay.from_estimator(clf, X_test, y_test, n_mistakes=5)
mistakes.plot()
plt.show()

# %%
# Which words moved these predictions? Without an orange word, the score of the predicted library is
# lower. Without a blue word, it is higher. Some of the probabilities are close to 1, where a single
# word cannot move them much; so the score is the decision function.
TextExplanationDisplay.from_estimator(clf, mistakes.samples, response_method="decision_function")

# %%
# The same display as a plot. Here it explains the probability of a class that you choose.
TextExplanationDisplay.from_estimator(
    clf, ["Fit a forest of decision trees.", "Drop rows of a table."], class_of_interest="sklearn"
).plot()
plt.show()

# %%
# Which regions of an image speak for the predicted class? Gray covers one patch at a time.
ImageExplanationDisplay.from_estimator(
    image_pipeline("efficientnet-lite0"), load_sample_images().images, fill_color=128
)
plt.show()
