"""Time of ``import sklearn_dl``, against ``import sklearn.pipeline``."""

import subprocess
import sys

from benchmarks._ratio import compare


def run(quick=False):
    def importing(statement):
        return lambda _: subprocess.run([sys.executable, "-c", statement], check=True)

    ratios = compare(
        importing("import sklearn_dl"),
        {"import sklearn.pipeline": importing("import sklearn.pipeline")},
        3 if quick else 20,
    )
    everything = compare(
        importing("from sklearn_dl import *"),
        {"import sklearn.pipeline": importing("import sklearn.pipeline")},
        3 if quick else 20,
    )
    return [
        {
            "what": f"`{what}`",
            "rival": "`import sklearn.pipeline`",
            "bar": bar,
            "ms_each": 1000 * ratio.ours_seconds,
            **ratio._asdict(),
        }
        for what, bar, ratio in (
            ("import sklearn_dl", round(1 / 1.1, 2), ratios["import sklearn.pipeline"]),
            ("from sklearn_dl import *", None, everything["import sklearn.pipeline"]),
        )
    ]
