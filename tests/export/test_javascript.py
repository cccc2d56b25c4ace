"""The example in JavaScript: exported files give the labels of the estimators."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from tests.browser import chromium, website

EXAMPLES = Path(__file__).parents[2] / "examples"
# npm's messages if the registry cannot be reached
_NO_NETWORK = (
    *("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET", "ENETUNREACH"),
    *("EHOSTUNREACH", "ECONNABORTED", "EIDLETIMEOUT", "ERR_SOCKET_TIMEOUT", "EPROTO"),
    *("E500", "E502", "E503", "E504"),
)

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the example with the packages of npm, the exported models and the rows."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    root = tmp_path_factory.mktemp("javascript")
    shutil.copytree(
        EXAMPLES, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules")
    )
    folder = root / "use_in_javascript"
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        pytest.skip("npm's registry needs more than 5 minutes")
    if done.returncode and any(code in done.stderr for code in _NO_NETWORK):
        pytest.skip("npm cannot reach its registry")
    assert done.returncode == 0, done.stderr
    subprocess.run([sys.executable, "export_models.py", "--rows"], cwd=folder, check=True)
    return folder


def node(folder, *arguments):
    done = subprocess.run(["node", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("runtime", ["onnxruntime-node", "onnxruntime-web"])
@pytest.mark.parametrize(
    ("model", "rows"), [("exact_text.onnx", "texts.json"), ("image.onnx", "images.json")]
)
def test_labels_are_those_of_the_estimator(folder, runtime, model, rows):
    assert "200 of 200 labels are equal" in node(folder, "check.mjs", runtime, model, rows)


def test_the_script_for_node(folder):
    sentence = "Compute the eigenvalues of a matrix."
    assert node(folder, "classify.mjs", "text.onnx", sentence).startswith(f"{sentence}: ")
    Image.fromarray(skimage.data.cat()).save(folder / "cat.png")
    assert "cat.png: Egyptian cat" in node(folder, "classify.mjs", "image.onnx", "cat.png")


def test_the_page(folder):
    with website(folder) as address, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{address}/index.html")
        page.click("#classify")
        has_label = "id => /\\(\\d/.test(document.getElementById(id).value)"
        page.wait_for_function(has_label, arg="text-label", timeout=120_000)
        Image.fromarray(skimage.data.cat()).save(folder / "cat.png")
        page.set_input_files("#file", folder / "cat.png")
        page.wait_for_function(has_label, arg="image-label", timeout=120_000)
        label = page.evaluate("document.getElementById('image-label').value")
        assert label.startswith("Egyptian cat")
