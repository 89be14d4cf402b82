"""A teacher cache that the recipe does not allow is refused before anything is trained."""

from types import SimpleNamespace

import pytest

from exporters.core import disk
from exporters.core.errors import UnavailableError, UsageError
from pipeline.preflight.cache import check_room
from tests.pipeline.preflight.conftest import Prospect

CACHED = "distill.teacher_cache.passes=2"


def test_a_cache_larger_than_allowed_is_refused_before_training(prospect: Prospect) -> None:
    error, _ = prospect.before_training(CACHED, "distill.teacher_cache.max_gb=0.000001")
    assert isinstance(error, UsageError)
    assert error.message.startswith("distill.teacher_cache.max_gb: the teacher cache would take ")


@pytest.mark.parametrize(("free", "refused"), [(1000, True), (10**9, False)])
def test_a_disk_without_room_is_said_before_training(
    prospect: Prospect, monkeypatch: pytest.MonkeyPatch, free: int, refused: bool
) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    errors = prospect.report(check_room, CACHED).errors
    assert [type(error) for error in errors] == ([UnavailableError] if refused else [])
    assert all("more and the disk has 1.00 kB" in error.message for error in errors)


@pytest.mark.parametrize(
    "overrides",
    [
        (CACHED,),
        (CACHED, "distill.teacher_cache.max_gb=1"),
        ("distill.teacher_cache.max_gb=0.000001",),
        (CACHED, "distill.teacher_cache.max_gb=0.000001", "distill.method=ce"),
    ],
)
def test_without_a_bound_or_a_cache_nothing_is_refused(prospect: Prospect, overrides: tuple[str, ...]) -> None:
    assert prospect.report(check_room, *overrides).errors == []
