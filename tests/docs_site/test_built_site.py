"""The site as it is built: what is found in it, and that it asks the network for nothing."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from docs_site.commands import commands
from docs_site.keys import leaves
from docs_site.links import ROOT
from docs_site.python import public
from pipeline.recipe.schema.json_schema import recipe_json_schema
from tests.pipeline.report.page.browser import DARK, browse, foreign_requests, looked_at, needs_browser, serious

LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "srcset", "object": "data"}
"""Element → the attribute whose address a browser fetches by itself."""


class Addresses(HTMLParser):
    """What a page loads, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get(LOADED.get(tag, "")):
            self.loaded.append(str(values[LOADED[tag]]))
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))


def pages(site: Path) -> dict[str, Addresses]:
    return {str(page.relative_to(site)): Addresses(page.read_text("utf-8")) for page in sorted(site.rglob("*.html"))}


def searched(site: Path) -> dict[str, str]:
    """Page and section → what search finds there, without tags."""
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    return {entry["location"]: re.sub(r"<[^>]+>", "", f"{entry['title']} {entry['text']}") for entry in index["docs"]}


def test_every_fault_of_links_and_navigation_is_a_warning() -> None:
    """A strict build ends at a warning; the fixture builds strictly."""
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    validation = yaml.safe_load(text[text.index("\nvalidation:") : text.index("\ntheme:")])["validation"]
    assert validation == {
        "nav": dict.fromkeys(("omitted_files", "not_found", "absolute_links"), "warn"),
        "links": dict.fromkeys(("not_found", "anchors", "absolute_links", "unrecognized_links"), "warn"),
    }


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    found = pages(site)
    assert len(found) > 40
    foreign = {page: [url for url in each.loaded if urlsplit(url).netloc] for page, each in found.items()}
    assert not {page: urls for page, urls in foreign.items() if urls}
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", sheet.read_text("utf-8")), sheet


def test_what_is_loaded_and_linked_is_there(site: Path) -> None:
    for page, each in pages(site).items():
        if page == "404.html":  # its addresses are those of a server's root
            continue
        for url in [*each.loaded, *each.links]:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc or not parts.path:
                continue
            assert (site / page).parent.joinpath(parts.path).exists(), f"{page}: {url}"


def test_search_knows_every_recipe_key_command_and_call(site: Path) -> None:
    sections = searched(site)
    keys = " ".join(text for place, text in sections.items() if place.startswith("reference/keys.html")).split()
    assert set(leaves(recipe_json_schema())) <= set(keys)
    titles = {text for place, text in sections.items() if place.startswith("reference/commands.html#")}
    for path, _ in commands():
        name = path.removeprefix("tmkd-pipeline ")
        assert any(title.startswith(f"{name} ") for title in titles), name
    for name in public():
        assert f"reference/python.html#{name}" in sections
    assert "reference/python.html#exporters.client.Student.predict" in sections


def test_changelog_and_contributing_lead_into_the_site(site: Path) -> None:
    found = pages(site)
    assert "architecture.html" in found["contributing.html"].links
    assert any(link.startswith("contributing.html") for link in found["architecture.html"].links)
    assert not [link for each in found.values() for link in each.links if link.endswith(".md")]


@needs_browser
@pytest.mark.parametrize("options", [["--window-size=1280,900"], ["--window-size=390,800", *DARK]])
def test_front_page_opens_from_the_disk_and_asks_for_nothing(site: Path, tmp_path: Path, options: list[str]) -> None:
    asked, told = foreign_requests(site / "index.html", tmp_path / "net.json", *options)
    assert not asked
    assert "CONSOLE" not in told


@needs_browser
@pytest.mark.parametrize("options", [["--window-size=1280,900"], ["--window-size=390,800", *DARK[:1]]])
def test_a_reference_page_is_readable_for_all(site: Path, options: list[str]) -> None:
    found = looked_at(site / "reference" / "commands.html", *options)
    assert not serious(found["faults"])
    assert not found["wide"]


@needs_browser
def test_search_works_from_the_disk(site: Path) -> None:
    page = site / "asked.html"  # a copy, because a query cannot be part of a path
    page.write_text((site / "index.html").read_text("utf-8").replace("<head>", f"<head>{ASK}", 1), encoding="utf-8")
    done = browse(page, "--dump-dom", "--virtual-time-budget=20000", "--enable-logging=stderr")
    assert "CONSOLE" not in done.stderr
    found = re.findall(r'<a href="([^"]*)" class="md-search-result__link', done.stdout)
    assert any("reference/keys.html" in url and url.endswith("#distillteacher_cache") for url in found)


ASK = '<script>history.replaceState(null, "", location.pathname + "?q=teacher_cache")</script>'
