"""For pytest under mutmut: quick tests first, so that a mutant is killed early."""

import functools
import json
from pathlib import Path

import pytest

DURATIONS = Path("mutmut-stats.json")


@functools.cache
def durations(path: Path = DURATIONS) -> dict[str, float]:
    """Seconds by test id, as mutmut has measured them; nothing before it has."""
    return dict(json.loads(path.read_bytes())["duration_by_test"]) if path.is_file() else {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order by duration; unknown ones last."""
    seconds = durations()
    items.sort(key=lambda item: seconds.get(item.nodeid, float("inf")))
