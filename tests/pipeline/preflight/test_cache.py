"""A teacher cache that the recipe does not allow is refused before anything is trained."""

from types import SimpleNamespace

import pytest

from exporters.core import disk
from exporters.core.errors import UnavailableError, UsageError
from pipeline.models import clip
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


WHOLE = ("distill.method=tmkd", "distill.weighting.by=image_text", "distill.weighting.seen=image")


def test_what_clip_says_of_whole_images_is_looked_at_before_training(
    prospect: Prospect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 images in three views, in float32 with a mark of a byte each."""
    recipe = prospect.subject(*WHOLE).recipe
    width = clip.build_clip(recipe.teacher.text.model).encode_text(["a"]).shape[1]
    size = 48 * (1 + len(recipe.distill.views)) * (4 * width + 1)
    limit = "distill.teacher_cache.max_gb={}".format
    assert not prospect.report(check_room, *WHOLE, limit(size / 1e9)).errors
    (error,) = prospect.report(check_room, *WHOLE, limit((size - 1) / 1e9)).errors
    assert isinstance(error, UsageError) and ": what CLIP says of whole images would take " in error.message
    (error,) = prospect.report(check_room, *WHOLE, CACHED, limit(size / 1e9)).errors
    assert ": the teacher cache would take " in error.message and " and what CLIP says " in error.message
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=size))
    assert not prospect.report(check_room, *WHOLE).errors
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=size - 1))
    (error,) = prospect.report(check_room, *WHOLE).errors
    assert isinstance(error, UnavailableError) and error.message.startswith("what CLIP says of whole images takes ")


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
