"""Texts and lists of words in which colours and pets are entities."""

import numpy as np

TEXTS = ["the red cat", "a blue dog and the green tree", "", "fast music", "old red dog."] * 4
ENTITIES = [
    [(4, 7, "colour"), (8, 11, "pet")],
    [(2, 6, "colour"), (7, 10, "pet"), (19, 24, "colour")],
    [],
    [],
    [(4, 7, "colour"), (8, 11, "pet")],
] * 4
WORDS = [text.replace(".", " .").split() for text in TEXTS]
TAGS = [
    ["O", "B-colour", "B-pet"],
    ["O", "B-colour", "B-pet", "O", "O", "B-colour", "O"],
    [],
    ["O", "O"],
    ["O", "B-colour", "B-pet", "O"],
] * 4
WEIGHTS = np.resize([1.0, 2.0, 1.0, 0.0, 3.0], 20)


def spans(entities):
    """The entities of a row without their scores."""
    return [(int(e["start"]), int(e["end"]), e["label"]) for e in entities]
