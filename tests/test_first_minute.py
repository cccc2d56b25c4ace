"""What a new user copies first: five lines at the top of the README and of the landing page."""

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import sklearn.datasets
import sklearn.linear_model
import sklearn.preprocessing
from PIL import Image

from tests.test_docs import FIRST_MINUTE, ROOT, STARTS, blocks

SKLEARN_IMAGES = Path(sklearn.datasets.__file__).parent / "images"


@pytest.fixture
def own_files(tmp_path):
    """A folder as a user has it: images, and a table of texts, in the order of their labels."""
    (tmp_path / "photos").mkdir()
    shutil.copy(SKLEARN_IMAGES / "china.jpg", tmp_path / "photos" / "IMG_1.JPG")
    Image.open(SKLEARN_IMAGES / "flower.jpg").save(tmp_path / "photos" / "flower.png")
    rows = [
        (inspect.getdoc(getattr(module, name)).splitlines()[0], module.__name__)
        for module in (sklearn.linear_model, sklearn.preprocessing)
        for name in module.__all__
    ]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / "tickets.csv", index=False)
    return tmp_path


def run(snippet, folder):
    """The snippet in an interpreter of its own, as someone pastes it; numpy's seed is fixed."""
    seeded = f"import numpy\nnumpy.random.seed(0)\n{snippet}"
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", seeded],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_pages_start_with_the_same_five_lines():
    (readme, landing) = [blocks(page)[:FIRST_MINUTE] for page in STARTS]
    assert readme == landing
    lines = [[line for line in snippet.splitlines() if line] for snippet in readme]
    assert [len(of_one) for of_one in lines] == [5, 5]
    for page in STARTS:
        assert page.read_text().index(readme[-1]) < 1500


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("page", STARTS, ids=lambda page: page.name)
def test_the_labels_of_a_folder_of_images(page, own_files):
    printed = run(blocks(page)[0], own_files).splitlines()
    china, flower = (os.path.join("photos", name) for name in ("IMG_1.JPG", "flower.png"))
    assert printed == [repr((china, "palace")), repr((flower, "daisy"))]


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("page", STARTS, ids=lambda page: page.name)
def test_the_labels_of_a_column_of_texts(page, own_files):
    printed = run(blocks(page)[1], own_files).splitlines()
    assert printed[0].split() == ["text", "label", "predicted"]
    rows = [line.split()[-2:] for line in printed[1:]]
    assert len(rows) == 10
    assert sum(label == predicted for label, predicted in rows) >= 8
