"""How well ImageClassifier tells cracked concrete from whole (SDNET2018), by 5 folds."""

import tempfile

from sklearn.model_selection import cross_val_score

from benchmarks.vision import cracks
from sklearn_dl import ImageClassifier

SETTINGS: dict = {
    "defaults": {},
    "C=0.01": {"C": 0.01},
    "image_size=256": {"image_size": 256},
    "views": {"augment": ("flip",)},
    "fine-tuned": {"trainable_layers": "all"},
}


def run(quick=False):
    X, y = cracks()
    if quick:
        X, y = X[:60], y[:60]
    rows = []
    with tempfile.TemporaryDirectory() as memory:
        for name, params in SETTINGS.items():
            clf = ImageClassifier(memory=memory, random_state=0, **params)
            score = cross_val_score(clf, X, y, cv=5).mean()
            met = (
                "" if name != "defaults" else f" (>= 0.82: {'met' if score >= 0.82 else 'MISSED'})"
            )
            rows.append(
                {
                    "what": f"cracks in {len(X)} photographs of concrete, 5 folds",
                    "rival": name,
                    "text": f"accuracy {score:.4f}{met}",
                }
            )
    return rows
