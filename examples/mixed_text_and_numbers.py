"""Texts beside numbers and categories, in one ColumnTransformer.

Which library does a function come from? Its description says much, and the numbers of its
parameters and of the lines of its documentation say something too. The table is made from
docstrings (`_docstrings.py`); with your own: ``table = pd.read_csv("mine.csv")``.
"""

from _docstrings import load_docstrings
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_dl import TextEncoder

table = load_docstrings().sample(1200, random_state=0)
print(table[["text", "parameters", "lines", "kind", "label"]].head().to_string(index=False))

# %%
# A column of texts is one column name, as for TfidfVectorizer; the others are lists of names.
text = (TextEncoder(), "text")
numbers = (StandardScaler(), ["parameters", "lines"])
categories = (OneHotEncoder(sparse_output=False), ["kind"])
for name, steps in {
    "numbers and categories": [numbers, categories],
    "text": [text],
    "all": [text, numbers, categories],
}.items():
    pipe = make_pipeline(make_column_transformer(*steps), LogisticRegression(C=10, max_iter=2000))
    scores = cross_validate(pipe, table, table["label"], cv=3, scoring=["accuracy", "neg_log_loss"])
    accuracy, loss = scores["test_accuracy"].mean(), -scores["test_neg_log_loss"].mean()
    print(f"{name:>22}: accuracy {accuracy:.3f}, log loss {loss:.3f}")

# %%
# With pandas output the features keep their names and the rows theirs.
columns = make_column_transformer(text, numbers, verbose_feature_names_out=False)
features = columns.set_output(transform="pandas").fit_transform(table[:100])
print(features.iloc[:3, [0, 1, -2, -1]].round(3).to_string())
