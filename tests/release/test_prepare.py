"""A release: version, changelog, commit and tag."""

import shutil
import subprocess
from pathlib import Path

import pytest

from release.checking import Failed
from release.prepare import CHANGELOG, CITATION, VERSION_FILE, check, follows, last_version, make, section, written

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {
    VERSION_FILE: '"""Words."""\n\n__version__ = "0.1.0"\n',
    CITATION: "cff-version: 1.2.0\nversion: 0.1.0\n",
    CHANGELOG: "# Changelog\n\n## [0.2.0] - Unreleased\n\n### Added\n\n- One.\n\n## [0.1.0] - 2026-12-01\n\n- Zero.\n",
}
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with the files that name a version."""
    for path, text in TEXTS.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    git(tmp_path, "init", "--quiet")
    own = {"user.name": "a", "user.email": "a@b.c", "commit.gpgSign": "false", "core.hooksPath": ".git/hooks"}
    for key, value in own.items():  # whatever the user's are
        git(tmp_path, "config", key, value)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def git(at: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=at, check=True, capture_output=True, text=True).stdout


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


@needs_git
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


@needs_git
def test_release_that_works_is_one_commit_of_its_files_and_a_tag(clone: Path) -> None:
    tried: list[str] = []

    def trial() -> None:
        tried.append((clone / VERSION_FILE).read_text())
        (clone / "own.txt").write_text("somebody goes on working")
        git(clone, "add", "own.txt")

    make("0.2.0", clone, trial)
    assert tried == [TEXTS[VERSION_FILE].replace("0.1.0", "0.2.0")]
    assert git(clone, "show", "--format=%s", "--name-only", "HEAD").split("\n\n")[0] == "Version 0.2.0"
    assert set(git(clone, "diff", "--name-only", "HEAD~1", "HEAD").split()) == {str(path) for path in TEXTS}
    assert git(clone, "status", "--porcelain") == "A  own.txt\n"
    assert last_version(clone) == "0.2.0" and "- One." in git(clone, "tag", "--list", "--format=%(contents)", "v0.2.0")


@needs_git
@pytest.mark.parametrize("fails", ["trial", "commit", "tag"])
def test_release_that_fails_leaves_files_commits_and_tags_as_they_were(clone: Path, fails: str) -> None:
    def trial() -> None:
        if fails == "trial":
            raise Failed("the wheel does not work")
        if fails == "tag":
            git(clone, "tag", "v0.2.0")
            return
        hook = clone / ".git" / "hooks" / "pre-commit"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)

    head = git(clone, "rev-parse", "HEAD")
    with pytest.raises(Failed, match="the wheel does not work" if fails == "trial" else f"git {fails}"):
        make("0.2.0", clone, trial)
    assert {path: (clone / path).read_text() for path in TEXTS} == TEXTS
    assert git(clone, "status", "--porcelain") == "" and git(clone, "rev-parse", "HEAD") == head
    assert last_version(clone) == ("0.2.0" if fails == "tag" else None)
