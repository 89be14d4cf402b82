"""The folder in which mutmut works on one source file: links to the repository, the mutated file alone a copy."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.mutation.settings import NOT_MUTATED, PYTEST, REPOSITORY, TIMEOUT, Part

WORK = REPOSITORY / "build/mutation"
# mutmut writes pyproject.toml itself.
_STAYS_BEHIND = frozenset(
    {".git", ".venv", ".hypothesis", ".coverage", "build", "dist", "runs", "data", "pyproject.toml"}
)
_KILLED = {1, 3}  # pytest's exit codes of a failed test and of an error within


def mirror_of(source: str) -> str:
    """`tests/a/test_b.py` of `a/b.py`."""
    path = Path(source)
    return str("tests" / path.parent / f"test_{path.name}")


def tests_of(part: Part, source: str) -> list[str]:
    """The test files that may kill a mutant of a source file; those of the list that exist."""
    named = [mirror_of(source), *part.also.get(source, ())]
    return [test for test in named if (REPOSITORY / test).is_file()]


def meta_of(source: str) -> Path:
    """The file in which mutmut notes the outcome of each mutant."""
    return WORK / source / "mutants" / f"{source}.meta"


def make(part: Part, source: str) -> bool:
    """Make or renew the folder for one source file, and say whether there is anything to do in it.

    What was found before stays, as far as it holds: all of it is forgotten with other settings; with other tests, the
    mutants that survived. mutmut itself forgets those of a function that has changed, and with other limits of time
    those that exceeded them.
    """
    work = WORK / source
    settings = _settings(part, source)
    now = {
        "settings": _digest(settings.encode()),
        "tests": _digest(*(path.read_bytes() for path in _read_by_tests(tests_of(part, source)))),
        "source": _digest((REPOSITORY / source).read_bytes()),
    }
    mark = work / "made_from.json"
    before = json.loads(mark.read_bytes()) if mark.is_file() else {}
    if before.get("settings") != now["settings"]:
        shutil.rmtree(work, ignore_errors=True)
    elif before["tests"] != now["tests"]:
        (work / "mutants/mutmut-stats.json").unlink(missing_ok=True)
        _forget_survivors(meta_of(source))
    elif before == now and not _undecided(meta_of(source)):
        return False
    (work / "mutants").mkdir(parents=True, exist_ok=True)
    package = Path(source).parts[0]
    _link(work / package, REPOSITORY / package)
    _link_all_but(work / "mutants", REPOSITORY, Path(source), _STAYS_BEHIND)
    (work / "pyproject.toml").write_text((REPOSITORY / "pyproject.toml").read_text() + settings + _toml(TIMEOUT))
    mark.write_text(json.dumps(now))
    return True


def _settings(part: Part, source: str) -> str:
    """The section `tool.mutmut` for this file."""
    tests = tests_of(part, source)
    left_out = [f"--deselect={test}" for test in part.left_out if test.split("::")[0] in tests]
    values = {
        "source_paths": [source],
        "do_not_mutate_patterns": list(NOT_MUTATED),
        "pytest_add_cli_args": [*PYTEST, *left_out],
        "pytest_add_cli_args_test_selection": tests,
        "track_dependencies": False,
        "use_git_change_detection": False,
        "on_dependency_change": "ignore",
    }
    return "\n[tool.mutmut]\n" + _toml(values)


def _toml(values: Mapping[str, object]) -> str:
    # JSON writes these values as TOML does.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def _read_by_tests(tests: list[str]) -> list[Path]:
    """The test files, and the helpers beside them."""
    folders = {(REPOSITORY / test).parent for test in tests}
    helpers = {path for folder in folders for path in folder.glob("*.py") if not path.name.startswith("test_")}
    return sorted({REPOSITORY / test for test in tests} | helpers)


def _digest(*contents: bytes) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


def _undecided(meta: Path) -> bool:
    return not meta.is_file() or None in json.loads(meta.read_bytes())["exit_code_by_key"].values()


def _forget_survivors(meta: Path) -> None:
    if meta.is_file():
        found = json.loads(meta.read_bytes())
        codes = found["exit_code_by_key"]
        found["exit_code_by_key"] = {name: code if code in _KILLED else None for name, code in codes.items()}
        meta.write_text(json.dumps(found))


def _link(link: Path, target: Path) -> None:
    if not link.is_symlink():
        link.symlink_to(target)


def _link_all_but(folder: Path, original: Path, source: Path, left_out: frozenset[str] = frozenset()) -> None:
    """Link what is in `original`, except the file at `source` in it, whose folders are real ones."""
    own, *rest = source.parts
    for entry in folder.iterdir():
        if entry.is_symlink() and (entry.name == own or not entry.exists()):
            entry.unlink()
    for entry in original.iterdir():
        if entry.name not in {own, "__pycache__"} | left_out:
            _link(folder / entry.name, entry)
    if rest:
        (folder / own).mkdir(exist_ok=True)
        _link_all_but(folder / own, original / own, Path(*rest))


def environment() -> dict[str, str]:
    """The environment of mutmut: one thread, few examples, and nothing compiled anew for each file."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"OMP_NUM_THREADS": "1", "HYPOTHESIS_PROFILE": "mutation"}
