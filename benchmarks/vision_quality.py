"""Accuracy of ImageClassifier on images of cracked and whole concrete (SDNET2018), 5 folds."""

import tempfile

from sklearn.model_selection import GridSearchCV, cross_val_score

from benchmarks.vision import cracks
from sklearn_dl import ImageClassifier

GRID = {"C": [1.0, 3.0, 10.0], "image_size": [160, 224, 256]}
SETTINGS: dict = {
    "defaults": {},
    "C=3": {"C": 3.0},
    "C=3, three random flips of each": {"C": 3.0, "augment": ("flip",)},
    "C=3, last 3 layers fine-tuned, 3 epochs at 1e-4": {
        "C": 3.0,
        "trainable_layers": 3,
        "learning_rate": 1e-4,
        "max_epochs": 3,
    },
}


def run(quick=False):
    X, y = cracks()
    if quick:
        X, y = X[:60], y[:60]
    rows = []
    with tempfile.TemporaryDirectory() as memory:
        plain = ImageClassifier(memory=memory, random_state=0)
        models: dict = {
            name: ImageClassifier(memory=memory, random_state=0, **params)
            for name, params in SETTINGS.items()
        }
        models[f"GridSearchCV over {GRID}, within each fold"] = GridSearchCV(plain, GRID, cv=5)
        for name, model in models.items():
            score = cross_val_score(model, X, y, cv=5).mean()
            met = f" (>= 0.82: {'met' if score >= 0.82 else 'MISSED'})" * (name == "defaults")
            rows.append(
                {
                    "what": f"cracks in {len(X)} images of concrete, 5 folds",
                    "rival": name,
                    "text": f"accuracy {score:.4f}{met}",
                }
            )
    return rows
