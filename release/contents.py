"""What a wheel and an sdist hold: every file that belongs there, and no other."""

import re
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from email.parser import Parser
from pathlib import Path
from typing import Any

from release.checking import ROOT, call

PACKAGES = ("exporters", "pipeline")
CONFIGS = ("configs", "pipeline/_configs")
"""A folder of the project, and where it is in the wheel."""
NEEDED = (
    "pipeline/py.typed",
    "exporters/py.typed",
    "pipeline/_configs/recipes/quickstart.yaml",
    "pipeline/report/page/templates/report.html.j2",
    "exporters/bundle/manifest.schema.json",
)
HOSTING = ".github/"
"""What belongs to the project's home and not to its source."""
NEVER = re.compile(
    r"(^|/)(__pycache__|\.venv|runs|data|dist|build|node_modules)/(?!.*\.py$)|\.(onnx|safetensors|pth?|engine)$"
)
"""Caches, what runs leave, and weights; a package of ours may be called `data`."""


def project() -> dict[str, Any]:
    """The section `project` of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def tracked(*folders: str) -> set[str]:
    """The files of folders, or of the whole project, that git knows."""
    return set(call(["git", "ls-files", "-z", "--", *folders]).split("\0")) - {""}


def wheel_files(files: Iterable[str] | None = None) -> set[str]:
    """The files that a wheel holds beside its metadata, made of the project's files; None: of those that git knows."""
    files = tracked(*PACKAGES, CONFIGS[0]) if files is None else files
    return {re.sub(rf"^{CONFIGS[0]}/", f"{CONFIGS[1]}/", file) for file in files}


def members(archive: Path) -> dict[str, bytes]:
    """The files of a wheel or an sdist, by their path within; an sdist's own folder is left out."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    with tarfile.open(archive) as sdist:
        found = {}
        for member in sdist.getmembers():
            stream = sdist.extractfile(member)
            found[member.name.partition("/")[2]] = b"" if stream is None else stream.read()
        return found


def wheel_mistakes(inside: Mapping[str, bytes], files: set[str], places: Iterable[str]) -> list[str]:
    """What is wrong inside a wheel.

    Args:
        inside: its files.
        files: those that it should hold beside its metadata.
        places: folders of this machine, which no file may name.
    """
    metadata = {
        name.partition("/")[2]: text for name, text in inside.items() if ".dist-info/" in name.partition("/")[0] + "/"
    }
    code = {name for name in inside if ".dist-info/" not in name}
    found = [f"{name} is not inside" for name in sorted(files - code)]
    found += [f"{name} does not belong inside" for name in sorted(code - files)]
    found += [f"{name} is needed and not inside" for name in NEEDED if name not in inside]
    found += [f"{name} is left from work" for name in sorted(inside) if NEVER.search(name)]
    if metadata.get("licenses/LICENSE") != (ROOT / "LICENSE").read_bytes():
        found.append("the licence is not the project's")
    if b"tmkd-pipeline = pipeline.__main__:main" not in metadata.get("entry_points.txt", b""):
        found.append("the command tmkd-pipeline is not declared")
    return found + metadata_mistakes(metadata.get("METADATA", b"").decode("utf-8")) + places_named(inside, places)


def metadata_mistakes(text: str) -> list[str]:
    """What a wheel's METADATA says other than pyproject.toml."""
    told, ours = Parser().parsestr(text), project()
    wanted = {
        "Name": ours["name"],
        "Requires-Python": ours["requires-python"],
        "License-Expression": ours["license"],
        "Summary": ours["description"],
    }
    found = [f"METADATA says {name}: {told[name]}, not {text}" for name, text in wanted.items() if told[name] != text]
    extras, known = set(told.get_all("Provides-Extra", [])), set(ours["optional-dependencies"])
    found += [f"METADATA has no extra {name}" for name in sorted(known - extras)]
    if len(told.get_payload()) < 1000:
        found.append("METADATA has no README")
    return found


def places_named(inside: Mapping[str, bytes], places: Iterable[str]) -> list[str]:
    """Files that name a folder of this machine."""
    marks = [place.encode() for place in places if len(Path(place).parts) > 2]
    return [
        f"{name} names {mark.decode()}, a folder of this machine"
        for name, text in sorted(inside.items())
        for mark in marks
        if mark in text
    ]


def sdist_mistakes(inside: Mapping[str, bytes], files: set[str], places: Iterable[str]) -> list[str]:
    """What is wrong inside an sdist.

    Args:
        inside: its files.
        files: those of the project that git knows.
        places: folders of this machine, which no file may name.
    """
    wanted = {name for name in files if not name.startswith(HOSTING)} | {"PKG-INFO"}
    found = [f"{name} is not inside" for name in sorted(wanted - set(inside))]
    found += [f"{name} does not belong inside" for name in sorted(set(inside) - wanted)]
    return found + places_named(inside, places)


def differences(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    """Files that two archives do not have in common to the byte."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
