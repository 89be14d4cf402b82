"""Texts of the code stand in Markdown as they are."""

from markdown import Markdown

from docs_site.tables import code, plain, table


def html(text: str) -> str:
    return Markdown(extensions=["tables"]).convert(text).replace("&#124;", "|")


def test_plain_text_shows_what_markdown_would_read() -> None:
    text = "base/<name> | a*b* _c_ and `x|<y>`"
    shown = html(table(("a",), [[plain(text)]]))
    assert "<td>base/&lt;name&gt; | a*b* _c_ and <code>x|&lt;y&gt;</code></td>" in shown


def test_a_row_is_one_line_with_as_many_cells() -> None:
    shown = html(table(("a", "b"), [["one\ntwo", code("x|y")]]))
    assert shown.count("<td>") == 2 and "one two" in shown and "<code>x|y</code>" in shown
