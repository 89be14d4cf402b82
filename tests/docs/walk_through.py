"""The files and edits that a how-to page prints, made in a copy of the project."""

import re
from pathlib import Path

from tests.docs.markdown import blocks

_HEADER = re.compile(
    r"# (?P<path>[\w./*-]+\.(?:py|yaml))(?:: (?P<how>after|before|in place of|at the end)(?: `(?P<line>.+)`)?)?\n"
)


def steps(page: Path) -> list[tuple[str, str, str, str]]:
    """Path, what to do (`new`, `after`, `before`, `in place of` or `at the end`), at which line, and the text."""
    found = []
    for language in ("python", "yaml"):
        for code in blocks(page, language):
            header = _HEADER.match(code)
            if header is not None:
                how = header["how"] or "new"
                found.append(
                    (header["path"], how, header["line"] or "", code if how == "new" else code[header.end() :])
                )
    return found


def follow(page: Path, root: Path) -> list[Path]:
    """Make every file and edit of a page below `root`; return the new files.

    What is there already, to the letter, stays as it is: whoever follows a page in a clone runs the tests of the pages
    there. Asserts that a new file is not there as something else, and that the line of an edit is found once.
    """
    new = []
    for path, how, line, text in steps(page):
        if how == "new":
            new.append(root / path)
            there = new[-1].read_text("utf-8") if new[-1].exists() else text
            assert there == text, f"{page.name}: {path} is there already, and differs from what the page prints"
            new[-1].write_text(text, "utf-8")
            continue
        files = sorted(root.glob(path))
        assert files, f"{page.name}: there is no {path}"
        for file in files:
            content = file.read_text("utf-8")
            if text.strip() not in content:
                file.write_text(_edited(content, how, line, text, f"{page.name}, {path}"), "utf-8")
    return new


def _edited(content: str, how: str, line: str, text: str, where: str) -> str:
    if how == "at the end":
        return content + text
    if how == "before" and text.startswith(("@", "class ", "def ")):
        text += "\n\n"  # as the formatter wants it
    lines = content.splitlines(keepends=True)
    places = [number for number, each in enumerate(lines) if line == each.strip()]
    places = places or [number for number, each in enumerate(lines) if line in each]
    assert len(places) == 1, f"{where}: {len(places)} lines contain {line!r}"
    start, end = {"after": (places[0] + 1, places[0] + 1), "before": (places[0], places[0]),
                  "in place of": (places[0], places[0] + 1)}[how]  # fmt: skip
    return "".join([*lines[:start], text, *lines[end:]])
