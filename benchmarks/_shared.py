"""Where the data of some benchmarks are: ``../shared/data``, or ``$SKLEARN_DL_SHARED/data``."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SKLEARN_DL_SHARED", ROOT.parent / "shared")) / "data"
