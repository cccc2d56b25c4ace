"""Search documentation by meaning
===============================

Which function of four libraries does what I have in mind?

A bi-encoder turns each sentence into a vector, and :class:`~sklearn.neighbors.NearestNeighbors`
finds the nearest ones. Then the encoder learns from pairs of sentences what is meant by similar.
The sentences are the first ones of docstrings (``_docstrings.py``); with your own:
``table = pd.read_csv("mine.csv")``, with the columns ``text`` and ``label``, and in place of
``pairs_of`` your pairs.
"""

import time

import matplotlib.pyplot as plt
import pandas as pd
from _docstrings import load_docstrings
from scipy.stats import spearmanr
from sklearn.neighbors import NearestNeighbors

from sklearn_dl import SentenceSimilarityRegressor, TextEncoder

# %%
# An index of all sentences, by a pretrained encoder that needs no fit.
table = load_docstrings()
encoder = TextEncoder()
started = time.perf_counter()
vectors = encoder.transform(table["text"])
print(f"{len(vectors)} sentences in {time.perf_counter() - started:.1f} s, {vectors.shape[1]} wide")
index = NearestNeighbors(n_neighbors=3, metric="cosine").fit(vectors)


def search(questions, encode):
    distances, rows = index.kneighbors(encode(questions))
    for question, near, distance in zip(questions, rows, distances, strict=True):
        print(question)
        for row, d in zip(table.iloc[near].itertuples(), distance, strict=True):
            print(f"    {1 - d:.2f}  {row.label}, {row.name}: {row.text}")


search(
    ["how do I remove repeated rows", "is my sample normally distributed", "shortest way"],
    encoder.transform,
)


# %%
# Other people mean other things by "similar". Here: do two sentences describe the same library?
# 1 and 0 are the similarities to learn, as likely as each other; the test's sentences are others.
def pairs_of(sentences, n_pairs):
    first, second = (sentences.sample(4 * n_pairs, replace=True, random_state=i) for i in (1, 2))
    same = (first["label"].to_numpy() == second["label"].to_numpy()).astype(float)
    pairs = pd.DataFrame({"first": [*first["text"]], "second": [*second["text"]], "same": same})
    return pairs.groupby("same").head(n_pairs // 2).sample(frac=1, random_state=0)


train, test = pairs_of(table[::2], 300), pairs_of(table[1::2], 400)
columns = ["first", "second"]
_, axes = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
for ax, (name, max_epochs) in zip(axes, {"pretrained": 0, "fine-tuned": 2}.items(), strict=True):
    model = SentenceSimilarityRegressor(max_epochs=max_epochs, learning_rate=3e-4, random_state=0)
    model.fit(train[columns], train["same"])
    predicted = model.predict(test[columns])
    rank_correlation = spearmanr(predicted, test["same"]).statistic
    print(f"{name}: Spearman {rank_correlation:.3f} on {len(test)} other pairs")
    both = [predicted[test["same"] == 1], predicted[test["same"] == 0]]
    ax.hist(both, bins=20, histtype="step", label=["the same library", "two libraries"])
    ax.set(title=name, xlabel="predicted similarity")
axes[0].set_ylabel("pairs")
axes[0].legend()
plt.show()

# %%
# Its ``embed`` takes the place of the encoder's ``transform``. The answers may well be worse than
# those above: it has learned what it was told, and that was not to answer questions.
index.fit(model.embed(table["text"]))
search(["how do I remove repeated rows"], model.embed)
