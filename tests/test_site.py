"""The built site: links, images, and how it looks in a browser.

``python -m sphinx docs site`` builds it; without it, or without a browser, these tests skip.
"""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser import chromium, website

SITE = Path(__file__).parents[1] / "site"
LOOKED_AT = [
    "index.html",
    "guide/when_to_use.html",
    "guide/comparison.html",
    "from_mlnet.html",
    "benchmarks.html",
    "gallery/index.html",
    "gallery/image_classification.html",
    "generated/sklearn_dl.TextClassifier.html",
]

pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").exists(), reason="the site is not built: python -m sphinx docs site"
)


class Page(HTMLParser):
    """What a page refers to, and the places in it that can be referred to."""

    def __init__(self, path):
        super().__init__()
        self.targets, self.ids = set(), {"", "top"}
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs.get("id"), attrs.get("name")}
        self.targets |= {attrs.get("href"), attrs.get("src")} - {None}
        images = (attrs.get("srcset") or "").split(",")
        self.targets |= {image.split()[0] for image in images if image}


def test_links_and_images_inside_the_site_exist():
    # the theme's own files hold a template
    paths = [path for path in SITE.rglob("*.html") if "_static" not in path.parts]
    pages = {path: Page(path) for path in paths}
    broken = []
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            # "#:~:text=..." highlights words: no place in the page has this name
            fragment = unquote(parts.fragment).split(":~:")[0]
            ids = pages[file].ids if file in pages else {fragment}
            if not file.exists() or fragment not in ids:
                broken.append((str(path.relative_to(SITE)), target))
    assert len(pages) > 60
    assert not broken


@pytest.fixture(scope="module")
def address():
    with website(SITE) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


# the least contrast of text with what is behind it that WCAG 2 asks for is 4.5
CONTRAST = """() => {
    const numbers = color => color.match(/[\\d.]+/g).map(Number);
    const light = color => numbers(color).slice(0, 3)
        .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const color = getComputedStyle(e).backgroundColor;
            if ((numbers(color)[3] ?? 1) > 0.5) return color;
        }
        return 'rgb(255, 255, 255)';
    };
    const texts = 'p, h1, td, th, a, pre, pre span'.split(', ').map(t => 'article ' + t).join();
    return Math.min(...[...document.querySelectorAll(texts)].filter(e => e.innerText?.trim())
        .map(e => [light(getComputedStyle(e).color), light(behind(e))])
        .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("page_name", LOOKED_AT)
def test_a_page_in_a_browser(browser, address, page_name, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    said = []
    page.on("console", lambda message: said.append((message.type, message.text)))
    page.on("pageerror", lambda error: said.append(("error", str(error))))
    page.on("response", lambda answer: answer.ok or said.append(("error", answer.url)))
    page.goto(f"{address}/{page_name}", wait_until="networkidle")
    assert [text for kind, text in said if kind == "error"] == []
    # lazily loaded images are loaded when they are visible
    for image in page.locator("img:visible").all():
        image.scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].every(i => !i.offsetParent || i.naturalWidth)")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    size = "parseFloat(getComputedStyle(document.querySelector('article p')).fontSize)"
    assert page.evaluate(size) >= 14
    assert 4.5 <= page.evaluate(CONTRAST) <= 21
    page.close()


# each text of the article that is cut off, needs sideways scrolling, or has only a few letters in a
# line; code may scroll in its own block
SIDEWAYS = """() => {
    const article = document.querySelector('article');
    const {left, right} = article.getBoundingClientRect();
    const scrolls = e => e.scrollWidth > e.clientWidth + 1
        && /auto|scroll|hidden/.test(getComputedStyle(e).overflowX);
    const isWide = text => {
        const range = document.createRange();
        range.selectNodeContents(text);
        const lines = [...range.getClientRects()].filter(line => line.width);
        if (lines.some(line => line.left < left - 1 || line.right > right + 1)) return true;
        let e = text.parentElement;
        while (getComputedStyle(e).display == 'inline') e = e.parentElement;
        if (lines.length > 1 && e.clientWidth < 140) return true;
        for (; e != article; e = e.parentElement) if (scrolls(e)) return true;
        return false;
    };
    const texts = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
    const found = [];
    while (texts.nextNode()) {
        const text = texts.currentNode, e = text.parentElement;
        if (!text.data.trim() || !e.checkVisibility()) continue;
        if (e.closest('pre, script, .output_subarea')) continue;
        if (isWide(text)) found.push(text.data.trim().slice(0, 60));
    }
    return found;
}"""


def test_a_phone_shows_each_text_without_scrolling_sideways(browser, address):
    names = [path.relative_to(SITE).as_posix() for path in sorted(SITE.rglob("*.html"))]
    page = browser.new_page(viewport={"width": 390, "height": 844})
    wide = {}
    for name in names:
        if name.startswith("_static/") or name == "search.html":  # the theme's own
            continue
        page.goto(f"{address}/{name}")
        if found := page.evaluate(SIDEWAYS):
            wide[name] = found
    assert wide == {}
    page.close()


def test_a_phone_shows_the_cells_of_a_row_below_each_other_with_their_columns(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{address}/from_mlnet.html")
    cells = page.locator("table.table tbody tr").first.locator("td")
    shown = "cell => [getComputedStyle(cell, '::before').content, cell.getBoundingClientRect().top]"
    columns, tops = zip(*[cell.evaluate(shown) for cell in cells.all()], strict=True)
    assert columns == ('"ML.NET: "', '"sklearn_dl: "', '"what differs: "')
    assert tops == tuple(sorted(set(tops)))
    page.close()


def test_the_quickstart_is_a_notebook_that_runs_in_jupyter(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    links = Page(SITE / "gallery" / "quickstart.html").targets
    (link,) = [link for link in links if link.endswith(".ipynb")]
    notebook = nbformat.read(SITE / "gallery" / link, as_version=4)
    assert 'pip install -e ".[demo]"' in notebook.cells[0].source
    # nothing of this folder is beside it, and Jupyter chooses how to show figures
    monkeypatch.delenv("MPLBACKEND", raising=False)
    place = {"metadata": {"path": tmp_path}}
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=280, resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert re.search(r"coffee.png  espresso 0\.\d\d", said)
    assert int(re.search(r"accuracy on 400 other sentences: (\d+)%", said)[1]) > 70
    assert [output for output in outputs if "image/png" in output.get("data", {})]


def test_the_table_of_parameters_is_whole():
    from tests.test_parameters import PARAMETERS

    text = (SITE / "parameters.html").read_text()
    names = {name for parameters in PARAMETERS.values() for name in parameters}
    assert [name for name in sorted(names) if f">{name}</span>" not in text] == []
    assert text.count("<tr class=") == len(names) + 1


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ("fine-tuning", "guide/image_classification.html"),
        ("embeddings", "guide/sentence_similarity.html"),
        ("object detection", "guide/object_detection.html"),
        ("ImageClassifier", "generated/sklearn_dl.ImageClassifier.html"),
        ("ML.NET", "from_mlnet.html"),
    ],
)
def test_the_search_finds_the_right_page(browser, address, words, right):
    page = browser.new_page()
    page.goto(f"{address}/index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=*")
    page.wait_for_function("document.querySelector('.search-summary')?.innerText.includes('found')")
    links = page.locator("ul.search li a").evaluate_all("links => links.map(link => link.href)")
    found = [urlsplit(link).path.removeprefix("/") for link in links]
    assert right in found[:10]
    page.close()
