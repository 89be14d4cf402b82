"""Tables of results as text and as HTML."""

from html.parser import HTMLParser

from pipeline.api.shown import Shown

TABLE = Shown("<b>title", ("name", "top-1, %"), [["a & b", "12.5"], ["\x1b[31mred", "7"]], lines=["below <i>"])


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_html_holds_every_text_and_no_markup_of_it() -> None:
    reader = _Reader()
    reader.feed(TABLE.html())
    cells = ["name", "top-1, %", "a & b", "12.5", "\\u001b[31mred", "7"]
    assert reader.texts == ["<b>title", *cells, "below <i>"]
    assert "b" not in reader.tags and "i" not in reader.tags and reader.tags.count("tr") == 3


def test_text_has_a_row_in_each_line_and_no_escape_sequences() -> None:
    text = TABLE.text()
    assert text.startswith("<b>title\n") and text.endswith("\nbelow <i>") and "\x1b" not in text
    (row,) = [line for line in text.splitlines() if "a & b" in line]
    assert "12.5" in row


def test_no_rows_is_no_table() -> None:
    assert Shown("title", lines=["line"]).text() == "title\nline"
    assert "<table" not in Shown("title").html()
