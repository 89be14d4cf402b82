"""Links resolve, named files exist, nothing is left to be filled in, and nothing refers to one particular machine."""

import re
from pathlib import Path

import pytest

from docs_site.hooks import GENERATED
from tests.docs.markdown import DOCUMENTS, ROOT, name, spans
from tests.docs.test_walk_throughs import PAGES
from tests.docs.walk_through import steps

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name)

# What a reader makes, or what an example adds.
_MADE = ("runs/", "photos/", "data/index.json", "pipeline/_configs", "golden/", "stages/<stage>.json", "bundle/")
_EXAMPLES = {path for page in PAGES for path, how, _, _ in steps(page) if how == "new"}


@each_document
def test_relative_links_resolve_to_files(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", document.read_text("utf-8")):
        made_by_the_site = document == ROOT / "docs" / "index.md" and target in GENERATED
        if "://" not in target and not made_by_the_site:
            assert (document.parent / target).exists(), f"{name(document)}: {target} is not there"


def anchors(document: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = [heading.lower().strip() for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


@each_document
def test_anchors_of_links_are_headings(document: Path) -> None:
    for path, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", document.read_text("utf-8")):
        target = document.parent / path if path else document
        if target.suffix == ".md" and target.exists():
            assert anchor in anchors(target), f"{name(document)}: {path}#{anchor} is not there"


@each_document
def test_project_files_named_in_the_text_exist(document: Path) -> None:
    for span in spans(document):
        path = re.fullmatch(r"(?:pipeline|exporters|configs|tests|docs)/[\w./-]*", span)
        if path is not None and not span.startswith(_MADE) and span not in _EXAMPLES:
            assert (ROOT / span).exists(), f"{name(document)}: {span} is not there"


@each_document
def test_documents_are_filled_in(document: Path) -> None:
    text = document.read_text("utf-8")
    assert not re.findall(
        r"@[A-Z_]+@|\b(?:TODO|FIXME|TBD|XXX)\b|^(?:<<<<<<<|=======|>>>>>>>)(?: |$)", text, re.MULTILINE
    )


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, ROOT / "Makefile", ROOT / ".ci" / "run", ROOT / "requirements.lock"], ids=name
)
def test_documents_contain_no_machine_paths_or_registries(document: Path) -> None:
    text = document.read_text("utf-8")
    assert not re.findall(r"(?<![\w.~<}/-])/(?:home|root|tmp|work|mnt|opt|var|srv|Users|Volumes)/\S*", text)
    assert not re.findall(r"(?:--index-url|--extra-index-url|--find-links|/simple/?\b).*", text)


def test_the_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert all(f"\n   {number}. " in text for number in range(1, 10))
