"""Search documentation by meaning
===============================

Which function of four libraries does what I need?

An encoder turns each sentence into an embedding, and :class:`~sklearn.neighbors.NearestNeighbors`
finds the nearest ones. Then the encoder is fine-tuned on pairs of sentences, to learn another
meaning of "similar". The texts are the first sentences of docstrings (``_docstrings.py``). For your
own texts, use ``table = pd.read_csv("mine.csv")``, with the columns ``text`` and ``label``, and
your pairs instead of ``pairs_of``.
"""

import time

import matplotlib.pyplot as plt
import pandas as pd
from _docstrings import load_docstrings
from scipy.stats import spearmanr
from sklearn.neighbors import NearestNeighbors

from sklearn_dl import SentenceSimilarityRegressor, TextEncoder

# %%
# A pretrained encoder makes an index of all sentences. It needs no fit.
table = load_docstrings().sample(2000, random_state=0)
encoder = TextEncoder()
started = time.perf_counter()
embeddings = encoder.transform(table["text"])
print(f"{len(embeddings)} embeddings of {embeddings.shape[1]} numbers each")
print(f"{time.perf_counter() - started:.1f} s")
index = NearestNeighbors(n_neighbors=3, metric="cosine").fit(embeddings)


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
# "Similar" can have another meaning. Here, two sentences are similar if they describe the same
# library: half of the pairs have the similarity 1, the others 0. The test pairs have sentences that
# are not in the training pairs.
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
# The fine-tuned model returns embeddings with ``embed``, as the encoder did with ``transform``. The
# results may be worse than those above: this model has learned to recognise libraries, not to
# answer questions.
index.fit(model.embed(table["text"]))
search(["how do I remove repeated rows"], model.embed)
