"""Peak resident memory of scoring 2,000 images and of fitting to them, against 200 images."""

import subprocess
import sys

_SCORING = """
from benchmarks._images import image_paths
from benchmarks.images import pipeline
paths = image_paths(640, 256)
pipeline().transform([paths[i % 256] for i in range(n)])
"""
_DETECTION = """
from benchmarks.detection import cells
from sklearn_dl import ObjectDetector
X, y = cells("trainval")
rows = [i % len(X) for i in range(n)]
ObjectDetector(max_epochs=1, random_state=0).fit(X[rows], [y[row] for row in rows])
"""
# not ru_maxrss, which a child process inherits from its parent
_CODE = """
import re, sys
from pathlib import Path
n = int(sys.argv[1])
{work}
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def peak(work, n):
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CODE.format(work=work), str(n)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(ran.stdout)


def _row(work, what, runs, bar):
    few, many = ([peak(work, n) for _ in range(runs)] for n in (200, 2000))
    above = max(many) - min(few)
    return {
        "what": f"peak resident memory, {what.format(n='2,000')}",
        "rival": f"{what.format(n=200)} ({min(few):.0f} MB)",
        "text": f"{above:+.0f} MB (worst of {runs} run(s) each; at most +{bar})",
    }


def run(quick=False):
    return [
        _row(_SCORING, "features of {n} images", 1 if quick else 3, 60),
        _row(_DETECTION, "fit of ObjectDetector to {n} images, 1 epoch", 1, 100),
    ]
