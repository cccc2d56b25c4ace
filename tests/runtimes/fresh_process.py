"""A process of Python for a user who has set nothing, and whose home is new."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# each of them switches ONNX Runtime's telemetry off, or says where it writes
_UNSET = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME")


def run_fresh(arguments, home):
    """Run Python with arguments; its exit status must be 0."""
    done = subprocess.run(
        # Python warns of forks in processes with threads
        [sys.executable, "-W", "ignore::DeprecationWarning", *map(str, arguments)],
        env={
            "SKLEARN_DL_HOME": str(home / "models"),
            **{name: value for name, value in os.environ.items() if name not in _UNSET},
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-5000:]
