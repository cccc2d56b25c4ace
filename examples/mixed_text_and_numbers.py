"""Combine texts with numbers and categories
=========================================

Which library does a function come from?

A :class:`~sklearn.compose.ColumnTransformer` combines the description of a function with two
numbers and a category. The numbers say how many parameters the function has, and how many lines its
documentation has. The table is made from docstrings (``_docstrings.py``). For your own table, use
``table = pd.read_csv("mine.csv")``.
"""

import matplotlib.pyplot as plt
import pandas as pd
from _docstrings import load_docstrings
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, recall_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_dl import TextEncoder

table = load_docstrings()
train, test = train_test_split(table, train_size=700, test_size=1000, random_state=0)
print(test[["text", "parameters", "lines", "kind", "label"]].head().to_string(index=False))

# %%
# Select the column of texts by one name, as for
# :class:`~sklearn.feature_extraction.text.TfidfVectorizer`, and other columns by lists of names.
text = (TextEncoder(), "text")
numbers = (StandardScaler(), ["parameters", "lines"])
categories = (OneHotEncoder(sparse_output=False), ["kind"])
recalls = {}
for name, steps in {
    "numbers and categories": [numbers, categories],
    "text": [text],
    "all": [text, numbers, categories],
}.items():
    pipe = make_pipeline(make_column_transformer(*steps), LogisticRegression(C=10, max_iter=2000))
    predicted = pipe.fit(train, train["label"]).predict(test)
    recalls[name] = recall_score(test["label"], predicted, average=None)
    print(f"{name:>22}: accuracy {accuracy_score(test['label'], predicted):.3f}")

# %%
# The recall is the share of each library's sentences that get the right label.
axes = pd.DataFrame(recalls, index=pipe.classes_).plot.bar(rot=0, ylabel="recall", ylim=(0, 1))
axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
plt.show()

# %%
# With pandas output, the features have names, and the rows keep their index.
columns = make_column_transformer(text, numbers, verbose_feature_names_out=False)
features = columns.set_output(transform="pandas").fit_transform(train[:100])
print(features.iloc[:3, [0, 1, -2, -1]].round(3).to_string())
