"""The licences of everything that a user of the project installs, as pip-licenses reads them, against what is allowed.

    python -m release.licences           what is not allowed, or is not stated and nobody has looked at; exit 3
    python -m release.licences --list    all of them

Looked at is what `tmkd-pipeline` and its extras require, and what these require in turn, of what is installed beside
this Python. Packages that only developers need ship to nobody, and are not judged.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.checking import Failed, call, ended, find_program, tell
from release.contents import project

NOT_FOR_USERS = {"dev"}

ALLOWED = frozenset(
    """
    0BSD Apache-2.0 Apache-2.0-WITH-LLVM-exception BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 CNRI-Python HPND ISC MIT
    MIT-0 MIT-CMU MPL-2.0 PSF-2.0 Unlicense ZPL-2.1 Zlib
    """.split()  # noqa: SIM905 - a list of quoted words reads worse
)
"""Licences that ask for no more than to be named, and MPL-2.0, which asks for the source of changed files alone."""

SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Zope Public License": "ZPL-2.1",
}
"""What metadata call a licence, and its SPDX identifier; `BSD License` is either form, and both are allowed."""

LOOKED_AT: dict[str, str] = {
    "sigstore-models": "MIT",
}
"""Packages whose metadata do not say it so that a tool can read it, and what their files say."""

PROPRIETARY = {
    re.compile(r"cuda-(toolkit|bindings|pathfinder)|nvidia-.*"): "libraries of CUDA, which PyTorch's wheels for Linux"
    " require; NVIDIA lets them be installed and used, and nothing of them is in our wheel or in a bundle",
}
"""Packages that are not free software and may come with others, and why."""


def shipped(extras: Iterable[str] | None = None) -> set[str]:
    """What the project requires with its extras, those that it has for users or those given, and what these require.

    Packages that are not installed, such as those of another system, are left out.
    """
    ours = project()
    names = set(ours["optional-dependencies"]) - NOT_FOR_USERS if extras is None else set(extras)
    waiting = [Requirement(f"{ours['name']}[{','.join(sorted(names))}]")]
    found: dict[str, set[str]] = {}
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        new = ({""} | wanted.extras) - found.get(name, set())
        if not new:
            continue
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.setdefault(name, set()).update(new)
        for requirement in map(Requirement, requires):
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in new):
                waiting.append(requirement)
    return set(found) - {canonicalize_name(ours["name"])}


def stated(row: Mapping[str, str]) -> str | None:
    """The licence of a row of pip-licenses as an SPDX expression; None where it states none that can be read."""
    for column in ("License-Expression", "License-Classifier", "License-Metadata"):
        text = row[column].strip()
        if text in ("", "UNKNOWN"):
            continue
        parts = [SPELLINGS.get(part.strip(), part.strip()) for part in text.split(";")]
        try:
            whole = " AND ".join(f"({part})" if " OR " in part else part for part in parts if part != "DFSG approved")
            return str(canonicalize_license_expression(whole))
        except InvalidLicenseExpression:
            continue
    return None


def allowed(expression: str) -> bool:
    """Whether an SPDX expression can be met by allowed licences: all of those joined by AND, one of those by OR."""
    text = re.sub(r"\s+WITH\s+", "-WITH-", expression)
    terms = re.sub(r"[A-Za-z0-9][A-Za-z0-9.+-]*", _judged, text)
    return bool(eval(terms, {"__builtins__": {}}))  # nothing is left in it but True, False, and, or and brackets


def _judged(word: re.Match[str]) -> str:
    return word[0].lower() if word[0] in ("AND", "OR") else str(word[0] in ALLOWED)


def mistakes(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """What may not be shipped with, or is not known."""
    found = []
    for row in rows:
        name = canonicalize_name(row["Name"])
        if any(pattern.fullmatch(name) for pattern in PROPRIETARY):
            continue
        expression = LOOKED_AT.get(name) or stated(row)
        if expression is None:
            found.append(f"{name} {row['Version']}: states no licence that can be read; look, and add it to LOOKED_AT")
        elif not allowed(expression):
            found.append(f"{name} {row['Version']}: {expression} is not allowed")
    return found


def read_rows() -> list[dict[str, str]]:
    """What pip-licenses says of each package that users install."""
    program = find_program("pip-licenses")
    told = call([program, "--python", sys.executable, "--format", "json", "--from", "all", "--with-system"])
    names = shipped()
    return [row for row in json.loads(told) if canonicalize_name(row["Name"]) in names]


def main() -> int:
    """Do what the command line asks; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m release.licences", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="tell each package with its licence")
    arguments = parser.parse_args()

    def work() -> None:
        rows = read_rows()
        if arguments.list:
            for row in rows:
                name = canonicalize_name(row["Name"])
                tell(f"{name} {row['Version']}: {LOOKED_AT.get(name) or stated(row) or 'not free, or not stated'}")
        if found := mistakes(rows):
            raise Failed("\n".join(found))
        tell(f"licences: {len(rows)} packages that users install, all allowed")

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
