"""Peak resident memory of scoring 2,000 photographs, against 200."""

import subprocess
import sys

_CODE = """
import re, sys
from pathlib import Path
from benchmarks._photographs import photographs
from benchmarks.images import pipeline
paths = photographs(640, 256)
n = int(sys.argv[1])
pipeline().transform([paths[i % 256] for i in range(n)])
# not ru_maxrss, which a child begins with its parent's
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def peak(n):
    ran = subprocess.run(
        [sys.executable, "-c", _CODE, str(n)], check=True, capture_output=True, text=True
    )
    return float(ran.stdout)


def run(quick=False):
    runs = 1 if quick else 3
    few, many = [peak(200) for _ in range(runs)], [peak(2000) for _ in range(runs)]
    above = max(many) - min(few)
    return [
        {
            "what": "peak resident memory, 2,000 photographs",
            "rival": f"200 photographs ({min(few):.0f} MB)",
            "text": f"{above:+.0f} MB (worst of {runs} runs each; at most +60)",
        }
    ]
