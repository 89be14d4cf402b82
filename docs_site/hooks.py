"""Hooks of MkDocs: adds the generated pages, and points links out of docs/ at their pages in the site."""

from collections.abc import Callable

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs_site.commands import commands_page
from docs_site.keys import keys_page
from docs_site.links import ELSEWHERE, ROOT, site_links
from docs_site.manifest import manifest_page
from docs_site.python import python_page
from exporters.bundle.manifest import SCHEMA
from exporters.core.files import dump_json
from pipeline.recipe.schema.json_schema import recipe_json_schema

GENERATED: dict[str, Callable[[], str]] = {
    "reference/keys.md": keys_page,
    "reference/commands.md": commands_page,
    "reference/manifest.md": manifest_page,
    "reference/python.md": python_page,
    "reference/manifest.schema.json": lambda: SCHEMA.read_text("utf-8"),
    "reference/recipe.schema.json": lambda: dump_json(recipe_json_schema()),
}
"""File of the site → what makes its text."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/."""
    for page, make in GENERATED.items():
        files.append(File.generated(config, page, content=make()))
    for source, page in ELSEWHERE.items():
        if page not in files.src_uris:
            files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page that were written for the repository."""
    return site_links(markdown, page.file.src_uri)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Give the search a name for screen readers, which the theme leaves out."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')
