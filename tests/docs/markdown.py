"""The documents of the project, and what their code says."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [page for folder in ("", ".github") for page in sorted((ROOT / folder).glob("*.md"))]
DOCUMENTS += sorted((ROOT / "docs").rglob("*.md"))

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name(document: Path) -> str:
    """The path below the project, for the names of tests."""
    return document.relative_to(ROOT).as_posix()


def blocks(document: Path, language: str) -> list[str]:
    """The code blocks of a language."""
    return [code for found, code in _BLOCK.findall(document.read_text("utf-8")) if found == language]


def spans(document: Path) -> list[str]:
    """The inline code outside of blocks."""
    return re.findall(r"`([^`\n]+)`", _BLOCK.sub("", document.read_text("utf-8")))


def shell_lines(document: Path) -> Iterator[str]:
    """The command lines of the shell blocks, continued ones joined."""
    for code in blocks(document, "bash"):
        yield from (line for line in code.replace("\\\n", " ").splitlines() if line.strip())
