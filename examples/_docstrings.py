"""Real texts that need no download: docstrings of numpy, scipy, pandas and scikit-learn.

`load_docstrings` returns the first sentences of the docstrings of public functions, classes and
methods: thousands of short texts, labelled with the library that they come from. The examples use
it. You can use your own table instead: ``pandas.read_csv("mine.csv")``.
"""

import inspect
import re
from importlib import import_module

import pandas as pd

AREAS = {
    "numpy": " char fft linalg ma polynomial random strings testing",
    "scipy": "cluster.hierarchy cluster.vq fft integrate interpolate io linalg ndimage optimize "
    "signal sparse sparse.csgraph sparse.linalg spatial spatial.distance special stats stats.qmc",
    "pandas": " api.extensions api.indexers api.types errors plotting tseries.offsets",
    "sklearn": "cluster compose covariance cross_decomposition datasets decomposition ensemble "
    "feature_extraction feature_extraction.text feature_selection gaussian_process impute "
    "inspection linear_model manifold metrics mixture model_selection multiclass naive_bayes "
    "neighbors neural_network pipeline preprocessing semi_supervised svm tree utils",
}
# the first line of the docstring of a compiled function: "out = add(x1, x2, /)"
SIGNATURE = re.compile(r"^([\w, ]+ = )?[\w.]+\(.*\)( -> .*)?$")
SECTION = re.compile(r"^(Attributes|Examples|Notes|Raises|References|See Also)\n-{3,}$", re.M)
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def load_docstrings():
    """Return a frame with a row for each sentence. The versions of the packages decide the order.

    Columns: ``text``, the sentence; ``label``, the library; ``area``, the module; ``name`` and
    ``kind`` of the function, class or method; ``parameters``, their number; ``lines``, the length
    of its docstring; ``sections`` of its docstring, such as "Notes".
    """
    rows = []
    for library, areas in AREAS.items():
        for area in areas.split(" "):
            module = import_module(f"{library}.{area}".rstrip("."))
            # scikit-learn lists experimental names that do not exist before they are enabled
            for name in sorted(set(module.__all__) & set(vars(module))):
                thing = getattr(module, name)
                rows.append(described(thing, name, library, area))
                if inspect.isclass(thing):
                    own = sorted(key for key in vars(thing) if not key.startswith("_"))
                    for key in own:
                        rows.append(described(getattr(thing, key), f"{name}.{key}", library, area))
    table = pd.DataFrame([row for row in rows if row])
    # a sentence of two libraries has no single label
    shared = table.groupby("text")["label"].transform("nunique") > 1
    return table[~shared].drop_duplicates("text", ignore_index=True)


def described(thing, name, library, area):
    docstring = inspect.getdoc(thing) or ""
    paragraphs = [" ".join(part.split()) for part in docstring.split("\n\n")]
    paragraphs = [part for part in paragraphs if part and not SIGNATURE.match(part)]
    if (not callable(thing) and not isinstance(thing, property)) or not paragraphs:
        return None
    text = re.sub(r":\w+:|[`*]", "", SENTENCE_END.split(paragraphs[0])[0])
    if not 4 <= len(text.split()) <= 40:
        return None
    try:
        parameters = len(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        parameters = 0
    kind = "class" if inspect.isclass(thing) else "method" if "." in name else "function"
    return {
        "text": text,
        "label": library,
        "area": area or "main",
        "name": name,
        "kind": kind,
        "parameters": parameters,
        "lines": docstring.count("\n") + 1,
        "sections": SECTION.findall(docstring),
    }


if __name__ == "__main__":
    sentences = load_docstrings()
    print(sentences.sample(8, random_state=0)[["text", "label", "area"]].to_string(index=False))
    print(sentences["label"].value_counts().to_string())
