"""Links of the repository become links of the site, wherever a page lies in it."""

import pytest

from docs_site.links import ELSEWHERE, ROOT, repository_path, site_links


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("architecture.md", "../CONTRIBUTING.md", "contributing.md"),
        ("decisions/server.md", "../serving.md#under-load", "../serving.md#under-load"),
        ("decisions/server.md", "../../CHANGELOG.md", "../changelog.md"),
        ("contributing.md", "docs/architecture.md#killed-at-any-moment", "architecture.md#killed-at-any-moment"),
        ("contributing.md", "CHANGELOG.md", "changelog.md"),
        ("examples/javascript.md", "../../docs/bundle.md#preprocessjson", "../bundle.md#preprocessjson"),
        ("bundle.md", "../examples/javascript/README.md", "examples/javascript.md"),
        ("how-to/ci.md", "../ci/gitlab-ci.yml", "../ci/gitlab-ci.yml"),
        ("security.md", "../docs/serving.md", "serving.md"),
        ("terminal.md", "../README.md", "index.md"),
        ("drift.md", "https://example.org/a.md#b", "https://example.org/a.md#b"),
        ("drift.md", "#metrics", "#metrics"),
        ("drift.md", "../LICENSE", "../LICENSE"),  # in no site; the strict build refuses it
    ],
)
def test_link_leads_to_the_page_of_its_file(page: str, link: str, expected: str) -> None:
    assert site_links(f"a [b]({link}) c", page) == f"a [b]({expected}) c"


def test_code_blocks_stay_as_they_are() -> None:
    text = "```text\n[a](../CONTRIBUTING.md)\n```\n"
    assert site_links(text, "drift.md") == text


def test_files_outside_docs_exist_and_have_pages_of_their_own() -> None:
    assert all((ROOT / source).is_file() for source in ELSEWHERE)
    assert not any((ROOT / "docs" / page).exists() for page in ELSEWHERE.values() if page != "index.md")
    assert repository_path("changelog.md") == "CHANGELOG.md"
    assert repository_path("index.md") == "docs/index.md"
