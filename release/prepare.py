"""Make a release: the version written, sdist and wheel built and tried, a commit and a tag. Nothing is published.

    python -m release.prepare 0.2.0 --only-check          whether it can be made: version, tree, changelog
    python -m release.prepare 0.2.0                       with this Python
    python -m release.prepare 0.2.0 --python 3.11,3.12    trying the wheel with several

`make release VERSION=0.2.0` does the first, then lint and test, then the second. The changelog needs the section
`## [0.2.0] - Unreleased`; the day is put in. Where the wheel is not as it must be, or git refuses commit or tag, the
files are put back and there is neither. Exit codes: 0 made, 2 not a version, 3 something is not as it must be, 4
something is missing.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from release.checking import ROOT, Failed, call, ended, expect, tell

FORM = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
VERSION_FILE, CITATION, CHANGELOG = Path("exporters/__init__.py"), Path("CITATION.cff"), Path("CHANGELOG.md")
DIST = Path("dist")


def numbers(version: str) -> tuple[int, int, int]:
    """The three numbers of a version."""
    major, minor, patch = map(int, version.split("."))
    return major, minor, patch


def follows(version: str, last: str | None) -> bool:
    """Whether a version is the next patch, minor or major one after the last that was tagged; None: any is."""
    if last is None:
        return True
    major, minor, patch = numbers(last)
    return numbers(version) in {(major, minor, patch + 1), (major, minor + 1, 0), (major + 1, 0, 0)}


def written(version: str, day: str, texts: Mapping[Path, str]) -> dict[Path, str]:
    """The files that name the version, as the release has them.

    Args:
        version: the version to be.
        day: the day of the release, as 2027-01-31.
        texts: the files as they are.

    Raises:
        Failed: one of them has no place for it.
    """
    places = {
        VERSION_FILE: (r'^__version__ = "[^"]*"$', f'__version__ = "{version}"'),
        CITATION: (r"^version: .*$", f"version: {version}"),
        CHANGELOG: (rf"^## \[{re.escape(version)}\] - .*$", f"## [{version}] - {day}"),
    }
    found = {}
    for path, (pattern, text) in places.items():
        found[path], count = re.subn(pattern, text, texts[path], flags=re.MULTILINE)
        if count != 1:
            raise Failed(f"not so: {path} has one line such as {text}; it has {count}")
    return found


def section(version: str, changelog: str) -> str:
    """What the changelog says of a version; empty where it has no section of it."""
    found = re.search(rf"^## \[{re.escape(version)}\].*?\n(.*?)(?=^## \[|^\[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    return "" if found is None else found[1].strip()


def last_version(root: Path) -> str | None:
    """The highest version that is tagged."""
    tags = [tag.removeprefix("v") for tag in call(["git", "tag", "--list", "v*"], at=root).split()]
    return max((tag for tag in tags if FORM.fullmatch(tag)), key=numbers, default=None)


def check(version: str, root: Path) -> None:
    """Whether a release can be made of what is there.

    Raises:
        Failed: the tree is not clean, the version is not the next one, or the changelog does not speak of it.
    """
    changed = call(["git", "status", "--porcelain"], at=root)
    expect(not changed, "the tree is clean", changed)
    last = last_version(root)
    expect(follows(version, last), f"{version} is a next version" + (f" after {last}" if last else ", the first"), last)
    told = section(version, (root / CHANGELOG).read_text("utf-8"))
    expect("- " in told, f"{CHANGELOG} says what {version} brings, under ## [{version}] - Unreleased", told)
    written(version, "", {path: (root / path).read_text("utf-8") for path in (VERSION_FILE, CITATION, CHANGELOG)})


def make(version: str, root: Path, trial: Callable[[], None]) -> None:
    """Write the version, build and try, commit and tag.

    Args:
        version: the version to be.
        root: the project.
        trial: builds and tries what is there, and raises where something is not as it must be.

    Raises:
        Failed: something is not as it must be; the files are as before, and there is neither commit nor tag.
    """
    paths = (VERSION_FILE, CITATION, CHANGELOG)
    before = {path: (root / path).read_text("utf-8") for path in paths}
    start = call(["git", "rev-parse", "HEAD"], at=root).strip()
    after = written(version, f"{datetime.now(UTC):%Y-%m-%d}", before)
    try:
        for path, text in after.items():
            (root / path).write_text(text, "utf-8")
        trial()
        if after != before:
            # Of these files alone, whatever else has been staged meanwhile.
            call(["git", "commit", "--quiet", "--message", f"Version {version}", "--only", "--", *paths], at=root)
        message = f"Version {version}\n\n{section(version, after[CHANGELOG])}"
        call(["git", "tag", "--annotate", "--cleanup=verbatim", f"v{version}", "--message", message], at=root)
    except BaseException:
        call(["git", "reset", "--quiet", "--soft", start], at=root)
        call(["git", "reset", "--quiet", start, "--", *paths], at=root)
        for path, text in before.items():
            (root / path).write_text(text, "utf-8")
        raise
    archives = " ".join(sorted(str(path.relative_to(root)) for path in (root / DIST).glob(f"tmkd_pipeline-{version}*")))
    tell(
        f"version {version} is committed and tagged v{version}; nothing has been published. What is left:\n"
        f"  git push origin HEAD v{version}\n"
        f"  {Path(sys.executable).name} -m twine upload {archives}    (or `uv publish {archives}`)\n"
        f"  a release page from the tag, with the section of {CHANGELOG}\n"
        f"  {CHANGELOG}: a section ## [next] - Unreleased\n"
        f"To take it back before that: git tag -d v{version}"
        + (" && git reset --hard HEAD~1" if after != before else "")
    )


def try_wheel(root: Path, pythons: str, only: str | None) -> None:
    """Whether no renamed key is too old, and the wheel works; both archives are left in `dist/`.

    Raises:
        Failed: not so.
    """
    table = "tests/pipeline/recipe/reading/test_renamed.py"
    call([sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", table, "-k", "table"], at=root)
    tell("  no renamed key is older than a minor version")
    words = ["--python", pythons, "--dist", str(root / DIST), *(["--only", only] if only else [])]
    tell(call([sys.executable, "-m", "release.wheel", *words], at=root).rstrip())


def main() -> int:
    """Do what the command line asks; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m release.prepare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument("version", help="such as 0.2.0")
    parser.add_argument("--only-check", action="store_true", help="look whether the release can be made, and make none")
    parser.add_argument("--python", default=own, metavar="VERSIONS", help=f"for trying the wheel; default: {own}")
    parser.add_argument("--only", metavar="PARTS", help="parts of the trial, as for release.wheel; default: all")
    arguments = parser.parse_args()
    if FORM.fullmatch(arguments.version) is None:
        parser.error(f"{arguments.version[:40]!r} is not a version such as 0.2.0")

    def work() -> None:
        check(arguments.version, ROOT)
        if not arguments.only_check:
            make(arguments.version, ROOT, lambda: try_wheel(ROOT, arguments.python, arguments.only))

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
