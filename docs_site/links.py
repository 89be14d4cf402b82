"""Links that work in the repository, turned into links that work in the site."""

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ELSEWHERE = {
    ".github/SECURITY.md": "security.md",
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/javascript/README.md": "examples/javascript.md",
}
"""File of the repository outside docs/ → its page in the site. The front page, docs/index.md, stands for the README."""

_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)#\s]+)(?=[)#])")


def repository_path(page: str) -> str:
    """Where the source of a page of the site lies in the repository."""
    sources = {page: source for source, page in ELSEWHERE.items() if page != "index.md"}
    return sources.get(page, f"docs/{page}")


def site_links(markdown: str, page: str) -> str:
    """The Markdown of a page with each link to a page of the site relative to this page's place in it.

    Args:
        markdown: as it stands in the repository, with links relative to the file there.
        page: its path in the site, such as `decisions/server.md`.
    """
    here = posixpath.dirname(repository_path(page))

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, match[1]))
        if "://" in match[1] or target == ".":
            return match[1]
        if target not in ELSEWHERE and not target.startswith("docs/"):
            return match[1]  # not in the site; the strict build says so
        place = ELSEWHERE.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(place, posixpath.dirname(page) or ".")

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(moved, part) for part in parts)
