"""Dockerfiles as lists of instructions, and what .dockerignore lets into a build."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = {path.name.removesuffix(".Dockerfile"): path for path in sorted((ROOT / "docker").glob("*.Dockerfile"))}


@dataclass(frozen=True)
class Instruction:
    """One instruction, continued lines joined: `name` in capitals and the rest."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words that are not flags; for the exec form, its strings."""
        if self.text.startswith("["):
            return [str(word) for word in json.loads(self.text)]
        return [word for word in self.text.split() if not word.startswith("--")]


def read(path: Path) -> list[Instruction]:
    """The instructions of a Dockerfile, in order."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [re.fullmatch(r"([A-Z]+) +(.+)", line) for line in joined.splitlines() if line.strip()]
    assert all(found), f"{path.name} has a line that is no instruction"
    return [Instruction(match[1], match[2].strip()) for match in found if match]


def last(path: Path, name: str) -> Instruction:
    """The last instruction of that name, which takes effect."""
    return [instruction for instruction in read(path) if instruction.name == name][-1]


def enters_a_build(path: str) -> bool:
    """Whether .dockerignore lets a file of the project into a build; it knows names, `*`, `**/` and `!`."""
    let_in = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        bare = pattern.removeprefix("!")
        anywhere = "(?:.*/)?" if bare.startswith("**/") else ""
        name = re.escape(bare.removeprefix("**/")).replace(r"\*", "[^/]*").replace(r"\[", "[").replace(r"\]", "]")
        if re.fullmatch(f"{anywhere}{name}(?:/.*)?", path):
            let_in = pattern.startswith("!")
    return let_in
