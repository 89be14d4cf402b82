"""Room on a disk, asked of places that need not exist."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from exporters.core import disk
from exporters.core.disk import free_bytes, require_room
from exporters.core.errors import UnavailableError


def test_place_that_is_not_there_has_the_room_of_its_nearest_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda place: asked.append(place) or SimpleNamespace(free=7))
    (tmp_path / "file").touch()
    places = [tmp_path, tmp_path / "a" / "b", tmp_path / "file"]
    assert [free_bytes(place) for place in places] == [7, 7, 7] and asked == [tmp_path] * 3
    monkeypatch.chdir(tmp_path)
    assert free_bytes(Path("runs/mine")) == 7 and asked[-1] == tmp_path


def test_free_bytes_are_those_of_the_system(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "new") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)


def test_more_than_is_free_is_refused_with_both_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))
    require_room("a cache", 2_000_000, tmp_path, "Make room.")
    require_room("a cache", -5, tmp_path, "Make room.")
    with pytest.raises(UnavailableError) as caught:
        require_room("a cache", 3_000_000, tmp_path, "Make room.")
    assert str(caught.value) == "a cache takes 3.00 MB more and the disk has 2.00 MB\n  Make room."
