import re
import sys
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_dl.inspection import EntityDisplay

mpl.use("Agg")
TEXT = "Ada Lovelace lived in London."
ENTITIES = [(0, 12, "PER"), (22, 28, "LOC")]
FIELDS = [("start", np.int64), ("end", np.int64), ("label", object), ("score", np.float64)]
PREDICTED = np.array([(0, 12, "PER", 0.987), (22, 28, "LOC", 0.5)], dtype=FIELDS)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


class Page(HTMLParser):
    """The marks of a page: the text and the label in each, their titles and styles; all text."""

    def __init__(self, html):
        super().__init__()
        self.inside, self.tags, self.marks = [], [], []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.inside == []

    def handle_starttag(self, tag, attrs):
        self.inside.append(tag)
        self.tags.append(tag)
        if tag == "mark":
            self.marks.append({"text": "", "label": "", **dict(attrs)})

    def handle_endtag(self, tag):
        assert self.inside.pop() == tag

    def handle_data(self, data):
        if "small" in self.inside:
            self.marks[-1]["label"] += data
            return
        self.text += data
        if "mark" in self.inside:
            self.marks[-1]["text"] += data


def page(text, entities):
    return Page(EntityDisplay.from_predictions(text, entities)._repr_html_())


def drawn(texts):
    return [text.get_text() for text in texts]


def test_html():
    shown = page(TEXT, PREDICTED)
    assert shown.text == TEXT
    assert [(mark["text"], mark["label"], mark["title"]) for mark in shown.marks] == [
        ("Ada Lovelace", " PER", "PER 0.99"),
        ("London", " LOC", "LOC 0.50"),
    ]
    assert [mark["title"] for mark in page(TEXT, ENTITIES).marks] == ["PER", "LOC"]
    # the background and the color of the text go with light and dark pages
    for mark in shown.marks:
        assert re.search(r"background: #[0-9a-f]{6}40; ", mark["style"])
        assert "color: inherit" in mark["style"]


def test_html_is_escaped_and_keeps_lines():
    text = "<script>alert('1 & 2')</script>\n  \"a\""
    shown = page(text, [(0, 8, '"><script>'), (34, 37, "&amp;")])
    assert shown.text == text
    assert [mark["title"] for mark in shown.marks] == ['"><script>', "&amp;"]
    assert [mark["label"] for mark in shown.marks] == [' "><script>', " &amp;"]
    assert shown.tags == ["div", "mark", "small", "mark", "small"]
    assert "white-space: pre-wrap" in EntityDisplay(text, [])._repr_html_()


def test_html_needs_no_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    display = EntityDisplay.from_predictions(TEXT, PREDICTED)
    assert Page(display._repr_html_()).text == TEXT
    with pytest.raises(ImportError, match=r"EntityDisplay needs matplotlib: .*\[demo\]"):
        display.plot()


@pytest.mark.parametrize("words", [TEXT.split(), np.array(TEXT.split()), tuple(TEXT.split())])
def test_entities_of_words_count_words(words):
    display = EntityDisplay.from_predictions(words, [(4, 5, "LOC"), (0, 2, "PER")])
    shown = Page(display._repr_html_())
    assert shown.text == TEXT
    assert [mark["text"] for mark in shown.marks] == ["Ada Lovelace", "London."]
    assert drawn(display.plot().texts_) == ["Ada Lovelace", " lived in ", "London."]


def test_plot():
    display = EntityDisplay.from_predictions(TEXT, PREDICTED)
    assert plt.get_fignums() == []
    assert display.plot() is display
    assert drawn(display.texts_) == ["Ada Lovelace", " lived in ", "London", "."]
    assert drawn(display.labels_) == ["PER 0.99", "LOC 0.50"]
    display.figure_.canvas.draw()
    person, place = display.boxes_
    assert person.get_facecolor() != place.get_facecolor()
    extents = [box.get_window_extent() for box in display.boxes_]
    for extent, text, label in zip(extents, display.texts_[::2], display.labels_, strict=False):
        assert extent.x0 <= text.get_window_extent().x0
        assert text.get_window_extent().x1 <= label.get_window_extent().x0
        assert label.get_window_extent().x1 <= extent.x1
    assert display.texts_[1].get_window_extent().x1 <= extents[1].x0


def test_plot_in_given_axes():
    _, axes = plt.subplots(1, 2)
    display = EntityDisplay.from_predictions(TEXT * 20, ENTITIES, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is axes[1].figure
    assert plt.get_fignums() == [1]
    room = axes[1].get_window_extent()
    assert len(display.texts_) > 10
    for text in display.texts_:
        extent = text.get_window_extent()
        assert room.x0 <= extent.x0
        assert extent.x1 <= room.x1 + 1


def test_lines():
    display = EntityDisplay.from_predictions("one\ntwo\r\n\n\tthree\r", [(0, 7, "X")]).plot()
    assert drawn(display.texts_) == ["one", "two", "    three"]
    assert len(display.boxes_) == 2
    assert len(display.labels_) == 1
    heights = [text.get_position()[1] for text in display.texts_]
    assert heights[0] - heights[1] == pytest.approx((heights[1] - heights[2]) / 2)


def test_an_entity_may_be_on_several_lines():
    text = "word " * 60
    display = EntityDisplay.from_predictions(text, [(5, len(text) - 1, "LONG")]).plot()
    assert len(display.boxes_) > 2
    assert drawn(display.labels_) == ["LONG"]
    assert " ".join(drawn(display.texts_)).split() == text.split()
    height = display.figure_.get_figheight()
    assert all(-height < text.get_position()[1] < 0 for text in display.texts_)
    width = display.figure_.get_window_extent().width
    assert all(box.get_window_extent().x1 <= width for box in display.boxes_)


def test_labels_and_padding_are_a_part_of_the_lines():
    words = ["a"] * 100
    display = EntityDisplay(words, [(i, i + 1, "WWW") for i in range(100)]).plot()
    width = display.figure_.get_window_extent().width
    assert all(box.get_window_extent().x1 <= width for box in display.boxes_)
    assert len(display.labels_) == 100


@pytest.mark.slow
def test_a_label_is_on_the_line_of_the_last_word():
    for n_words in range(1, 40):
        text = "word " * n_words + "Ada Lovelace"
        display = EntityDisplay(text, [(5 * n_words, len(text), "PERSON")]).plot()
        (label,) = display.labels_
        assert display.texts_[-1].get_text().endswith("Lovelace")
        assert display.texts_[-1].get_position()[1] == label.get_position()[1]
        plt.close(display.figure_)


def test_a_label_has_one_color():
    text = "abcd"
    display = EntityDisplay(text, [(3, 4, "A"), (0, 1, "B"), (1, 2, "A")]).plot()
    b, first, second = (box.get_facecolor() for box in display.boxes_)
    assert first == second == mpl.colors.to_rgba(mpl.colormaps["tab10"].colors[0], 0.25)
    assert b == mpl.colors.to_rgba(mpl.colormaps["tab10"].colors[1], 0.25)
    styles = [mark["style"] for mark in page(text, [(0, 1, "B"), (1, 2, "A")]).marks]
    assert ["#ff7f0e40" in styles[0], "#1f77b440" in styles[1]] == [True, True]


def test_more_labels_than_colors():
    text = "abcdefghijkl"
    display = EntityDisplay(text, [(i, i + 1, c) for i, c in enumerate(text)]).plot()
    colors = [box.get_facecolor() for box in display.boxes_]
    assert len(set(colors)) == 10
    assert colors[10:] == colors[:2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n",
        "$x$ and $",
        "a" * 1000,
        "日本語" * 100,
        "😀 🏳️‍🌈",
        "שלום עולם",
        "e\u0301\u0301",
        "\x00\x1b",
    ],
    ids=["empty", "space", "line", "math", "long", "wide", "emoji", "rtl", "combining", "control"],
)
def test_odd_texts(text):
    entities = [(0, len(text), "X")] if text else []
    assert page(text, entities).text == text
    display = EntityDisplay.from_predictions(text, entities).plot()
    assert "".join(drawn(display.texts_)) == text.strip("\n")
    assert all(not written.get_parse_math() for written in display.texts_ + display.labels_)


def test_glyphs_that_no_font_has_are_reported_when_the_figure_is_drawn():
    display = EntityDisplay.from_predictions("\ue000", [(0, 1, "X")]).plot()
    with pytest.warns(UserWarning, match="Glyph 57344"):
        display.figure_.canvas.draw()


def test_lone_surrogates_are_replaced():
    display = EntityDisplay.from_predictions("a\ud83db", [(0, 2, "\udfff")]).plot()
    assert drawn(display.texts_) == ["a\ufffd", "b"]
    assert drawn(display.labels_) == ["\ufffd"]
    display._repr_html_().encode()


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        (
            [(0, 2, "A"), (20, 30, "B")],
            r"Entity 1 is \(20, 30, 'B'\), but 0 <= .* <= 29 must hold: the text has 29 char",
        ),
        ([(-1, 2, "A")], r"Entity 0 is \(-1, 2, 'A'\), but 0 <= start"),
        ([(2, 2, "A")], "start < end"),
        ([(5, 8, "B"), (0, 6, "A")], r"\(0, 6, 'A'\) and \(5, 8, 'B'\) overlap"),
        ([(0, 6, "A"), (0, 6, "A")], "overlap"),
        ([(0, 6)], r"Entity 0 is \(0, 6\), but must be \(start, end, label\)"),
        (["PER"], "Entity 0 is 'PER', but must be"),
        (np.zeros((2, 3)), r"Entity 0 is array.* must be \(start, end, label\)"),
        ([(0.0, 6.0, "A")], "must be integers"),
        ([(0, 6, None)], "its label must be a str"),
        (PREDICTED[["start", "score"]], r"lacks the fields \['end', 'label'\]"),
        (None, "`entities` is None"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_entities(entities, message):
    with pytest.raises(ValueError, match=message):
        EntityDisplay.from_predictions(TEXT, entities)


def test_entities_outside_the_words():
    with pytest.raises(ValueError, match=r"0 <= start < end <= 5 must hold: the text has 5 words"):
        EntityDisplay.from_predictions(TEXT.split(), [(4, 6, "LOC")])


@pytest.mark.parametrize("text", [None, 3, b"Ada", ["Ada", None], [["Ada"]]], ids=str)
def test_what_is_not_a_text(text):
    with pytest.raises(ValueError, match="`text` must be a str or a list of words"):
        EntityDisplay.from_predictions(text, [])


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_the_whole_text_is_shown(data):
    text = data.draw(st.text(st.sampled_from("ab <&\"'"), max_size=30))
    edges = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    entities = [(a, b, "X") for a, b in zip(edges[::2], edges[1::2], strict=False)]
    shown = page(text, entities)
    assert shown.text == text
    assert [mark["text"] for mark in shown.marks] == [text[a:b] for a, b, _ in entities]
