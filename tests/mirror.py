"""Lists source files without a mirrored test file: `pipeline/x/y.py` is tested by `tests/pipeline/x/test_y.py`.

Run as `python tests/mirror.py`; `make lint` does. Exit code 1 if a file has no mirror and no reason for having none.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "exporters")

EXCEPTIONS: dict[str, str] = {}
"""Source file → why no test file mirrors it."""


def has_code(path: Path) -> bool:
    """Whether a file defines a function or a class with a method; constants and re-exports need no test."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(ast.parse(path.read_bytes()))
    )


def without_mirror() -> list[str]:
    """Source files, relative to the repository, that have code and no mirrored test file."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            place = path.relative_to(ROOT)
            if path.name in {"__init__.py", "__main__.py"} or not has_code(path):
                continue
            if not (ROOT / "tests" / place.parent / f"test_{path.name}").is_file():
                found.append(str(place))
    return found


def main() -> int:
    """Print the files without a mirror and the exceptions that are no longer needed."""
    missing = without_mirror()
    unexplained = [place for place in missing if place not in EXCEPTIONS]
    needless = [place for place in EXCEPTIONS if place not in missing]
    for place in unexplained:
        print(f"{place}: no tests/{Path(place).parent}/test_{Path(place).name}", file=sys.stderr)
    for place in needless:
        print(f"{place}: listed as an exception and mirrored, or gone", file=sys.stderr)
    return 1 if unexplained or needless else 0


if __name__ == "__main__":
    sys.exit(main())
