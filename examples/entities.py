"""Find entities: functions, classes and numbers in sentences
==========================================================

A recogniser learns to find three kinds of entities in sentences of three libraries. It is then
tested on a library that it has not seen. Does it only know names by heart, or does it also use
their spelling and context?

The sentences are real: they come from docstrings. The rule below makes the labels; it knows all
public names. Usually, people mark the entities of a few hundred sentences by hand.
"""

import inspect
import re
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from _docstrings import AREAS, SENTENCE_END

from sklearn_dl import EntityRecognizer
from sklearn_dl.inspection import EntityDisplay
from sklearn_dl.metrics import entity_precision_recall_fscore_support

# %%
# Collect the public functions and classes of each library, and the sentences of their docstrings.
# Names without an underscore or a capital letter, such as "sum", are left out, because they may be
# English words.
kinds, sentences = {}, {}
for library, areas in AREAS.items():
    sentences[library] = []
    for area in areas.split(" "):
        module = import_module(f"{library}.{area}".rstrip("."))
        for name in sorted(set(module.__all__) & set(vars(module))):
            thing = getattr(module, name)
            if not callable(thing):
                continue
            if "_" in name or name != name.lower():
                kinds[name] = "class" if inspect.isclass(thing) else "function"
            text = (inspect.getdoc(thing) or "").split("\nParameters\n")[0]
            paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
            prose = [part for part in paragraphs if part.endswith(".") and ">>>" not in part]
            sentences[library] += [s for part in prose for s in SENTENCE_END.split(part)]

# %%
# The rule: an entity is a word that is a public name, or a number. Markup around names is removed,
# because it would reveal them. The entities of a text are (start, end, label), in characters.
MARKUP = re.compile(r":\w+:|[`*~]")
WORD = re.compile(r"\d+(?:\.\d+)?\b|\w+")


def marked(text):
    entities = []
    for match in WORD.finditer(text):
        word = match.group()
        label = "number" if word.replace(".", "").isdigit() else kinds.get(word)
        if label:
            entities.append((*match.span(), label))
    return entities


def rows_of(libraries, seed, n_rows):
    found = sorted({MARKUP.sub("", s) for library in libraries for s in sentences[library]})
    with_entities = [text for text in found if marked(text)]
    chosen = np.random.default_rng(seed).permutation(len(with_entities))[:n_rows]
    texts = [with_entities[i] for i in chosen]
    return texts, [marked(text) for text in texts]


X_train, y_train = rows_of(["numpy", "scipy", "pandas"], 0, 400)
X_test, y_test = rows_of(["sklearn"], 0, 200)
print(len(X_train), "sentences to learn from,", len(X_test), "of another library to test")

# %%
# The encoder ignores letter case, so the recogniser also learns the shapes of words.
recognizer = EntityRecognizer(max_epochs=3, random_state=0).fit(X_train, y_train)
found = recognizer.predict(X_test)
scores = entity_precision_recall_fscore_support(y_test, found)
print(
    pd.DataFrame(
        np.transpose(scores).round(2),
        index=recognizer.classes_,
        columns=["precision", "recall", "F1", "support"],
    )
)

# %%
# Some entities are in no training sentence. How many are there, and how many of them does it find?
known = {text[a:b] for text, row in zip(X_train, y_train, strict=True) for a, b, _ in row}
new = [
    (start, end, label) in set(row[["start", "end", "label"]].tolist())
    for text, true, row in zip(X_test, y_test, found, strict=True)
    for start, end, label in true
    if text[start:end] not in known
]
print(f"{len(new)} entities are new; it finds {np.mean(new):.0%} of them")

# %%
# One sentence, and the table of all entities.
row = int(np.argmax([len(entities) for entities in found]))
EntityDisplay.from_predictions(X_test[row], found[row]).plot()
plt.show()
print(recognizer.predict_frame(X_test[:5]).round(3).to_string(index=False))

# %%
# ``predict_tags`` returns the same entities as tags, one for each word of ``text.split()``.
tags = recognizer.predict_tags(X_test[:1])[0]
print(list(zip(X_test[0].split(), tags, strict=True)))
