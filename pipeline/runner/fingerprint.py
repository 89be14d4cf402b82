"""Fingerprints: digests of what a stage's result follows from, each part by name so that a change can be named."""

import ast
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent.parent
_PACKAGES = ("pipeline", "exporters")

# How a run is shown, planned and refused does not change what it gives; settings count by their values.
_WITHOUT_EFFECT = ("pipeline.console", "pipeline.recipe", "pipeline.runner", "exporters.core.errors")


def digest(value: Any) -> str:
    """Hex SHA-256 of a JSON value in its canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def libraries_digest(names: Iterable[str]) -> str:
    """Digest over the installed versions of distributions."""
    return digest({name: _version(name) for name in sorted(names)})


@cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def code_digest(modules: Iterable[str]) -> str:
    """Digest over the code of modules and of everything of ours that they import, directly or not.

    Comments, docstrings and layout do not count; a changed statement does. Imports inside functions are followed too,
    because the stages import what is heavy only where it is used. A process reads each file once, whatever is changed
    while it runs: the code that it has loaded is that of its beginning.
    """
    return _code_digest(_ROOT, frozenset(modules))


@cache
def _code_digest(root: Path, modules: frozenset[str]) -> str:
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found and (read := _read(root, module)) is not None:
            found[module], imported = read
            waiting.extend(imported)
    return digest(found)


def _source(root: Path, module: str) -> Path | None:
    ours = module.partition(".")[0] in _PACKAGES
    if not ours or any(module == name or module.startswith(f"{name}.") for name in _WITHOUT_EFFECT):
        return None
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _read(root: Path, module: str) -> tuple[str, tuple[str, ...]] | None:
    """The digest of a module's statements, and the names that it imports, as modules or as members of modules.

    None for a module that is not ours, that is no file, or that does not count.
    """
    path = _source(root, module)
    if path is None:
        return None
    tree = ast.parse(path.read_bytes())
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(imported)


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        del node.body[0]
