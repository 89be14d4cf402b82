"""A release: version, changelog, commit and tag."""

import shutil
import subprocess
from pathlib import Path

import pytest

from release.checking import Failed
from release.prepare import CHANGELOG, CITATION, VERSION_FILE, check, follows, last_version, section, written

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {
    VERSION_FILE: '"""Words."""\n\n__version__ = "0.1.0"\n',
    CITATION: "cff-version: 1.2.0\nversion: 0.1.0\n",
    CHANGELOG: "# Changelog\n\n## [0.2.0] - Unreleased\n\n### Added\n\n- One.\n\n## [0.1.0] - 2026-12-01\n\n- Zero.\n",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with the files that name a version."""
    for path, text in TEXTS.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def git(at: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *identity, *words], cwd=at, check=True)


@pytest.mark.parametrize(
    ("version", "last", "expected"),
    [
        ("0.1.0", None, True), ("0.1.1", "0.1.0", True), ("0.2.0", "0.1.7", True), ("1.0.0", "0.9.3", True),
        ("0.3.0", "0.1.0", False), ("0.1.0", "0.1.0", False), ("0.1.2", "0.1.0", False), ("0.2.1", "0.1.0", False),
        ("0.10.0", "0.9.0", True), ("0.9.0", "0.10.0", False),
    ],
)  # fmt: skip
def test_version_is_the_next_patch_minor_or_major_one(version: str, last: str | None, expected: bool) -> None:
    assert follows(version, last) is expected


def test_version_and_day_are_written_where_they_stand() -> None:
    found = written("0.2.0", "2027-01-31", TEXTS)
    assert found[VERSION_FILE] == TEXTS[VERSION_FILE].replace("0.1.0", "0.2.0")
    assert found[CITATION] == "cff-version: 1.2.0\nversion: 0.2.0\n"
    assert found[CHANGELOG] == TEXTS[CHANGELOG].replace("Unreleased", "2027-01-31")


def test_files_of_the_project_have_a_place_for_the_version() -> None:
    from exporters import __version__

    texts = {path: (ROOT / path).read_text("utf-8") for path in TEXTS}
    found = written(__version__, "2027-01-31", texts)
    assert found[VERSION_FILE] == texts[VERSION_FILE]
    assert found[CITATION] == texts[CITATION]


def test_file_without_a_place_is_told() -> None:
    with pytest.raises(Failed, match=r"CHANGELOG\.md has one line such as"):
        written("0.3.0", "2027-01-31", TEXTS)


def test_section_of_the_changelog_is_that_of_the_version() -> None:
    assert section("0.2.0", TEXTS[CHANGELOG]) == "### Added\n\n- One."
    assert section("0.1.0", TEXTS[CHANGELOG]) == "- Zero."
    assert section("0.3.0", TEXTS[CHANGELOG]) == ""


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_release_needs_a_clean_tree_a_next_version_and_its_changes(clone: Path) -> None:
    check("0.2.0", clone)
    with pytest.raises(Failed, match=r"CHANGELOG\.md says what 0\.3\.0 brings"):
        check("0.3.0", clone)
    git(clone, "tag", "v0.2.0")
    assert last_version(clone) == "0.2.0"
    with pytest.raises(Failed, match=r"0\.2\.0 is a next version after 0\.2\.0"):
        check("0.2.0", clone)
    (clone / "new.txt").write_text("x")
    with pytest.raises(Failed, match="the tree is clean"):
        check("0.2.1", clone)
