"""The way of a recipe: from YAML to a student that passed its gates.

The six names of `__all__` are the Python API (docs/python.md); each is imported when it is first asked for. Its errors
are in `pipeline.errors`. Everything else is internal and may change at any time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from exporters import __version__ as __version__

if TYPE_CHECKING:
    from exporters.client import Student
    from pipeline.api.compare import compare
    from pipeline.api.export import export
    from pipeline.api.recipe import load_recipe
    from pipeline.api.run import run
    from pipeline.api.verify import verify

__all__ = ["Student", "compare", "export", "load_recipe", "run", "verify"]

_HOMES = {
    "Student": "exporters.client",
    "compare": "pipeline.api.compare",
    "export": "pipeline.api.export",
    "load_recipe": "pipeline.api.recipe",
    "run": "pipeline.api.run",
    "verify": "pipeline.api.verify",
}


def __getattr__(name: str) -> Any:
    """A name of the API, imported now: `import pipeline` alone loads nothing heavy (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, getattr(import_module(_HOMES[name]), name))


def __dir__() -> list[str]:
    return [*__all__, "__all__", "__doc__", "__file__", "__name__", "__path__", "__version__"]
