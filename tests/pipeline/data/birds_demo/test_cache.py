import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from exporters.core.errors import UnavailableError
from pipeline.data.birds_demo import CLASS_NAMES, SPECIES, VERSION, cache, default_root, ensure_birds_demo, render_image

SPLITS = {"train": 2, "test": 1}
TOTAL = len(SPECIES) * 3


class Counter:
    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.calls.append((done, total))


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SPLITS", SPLITS)


def snapshot(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_rendered_set_has_the_documented_layout_and_content(tmp_path: Path) -> None:
    progress = Counter()
    root = ensure_birds_demo(tmp_path / "birds", progress)
    assert root == tmp_path / "birds"
    assert progress.calls == [(number, TOTAL) for number in range(1, TOTAL + 1)]
    files = snapshot(root)
    expected = {
        f"{split}/{name.replace(' ', '_')}/{index:03d}.png"
        for split, count in SPLITS.items()
        for name in CLASS_NAMES
        for index in range(count)
    }
    assert set(files) == expected | {"dataset.json"}
    with Image.open(root / "train" / SPECIES[4].folder / "001.png") as image:
        assert image.tobytes() == render_image(4, "train", 1).tobytes()
    description = json.loads(files["dataset.json"])
    assert description["version"] == VERSION
    assert description["classes"] == list(CLASS_NAMES)
    assert description["images_per_class"] == SPLITS


def test_two_renderings_are_the_same_bytes_and_a_complete_set_is_not_touched(tmp_path: Path) -> None:
    first = ensure_birds_demo(tmp_path / "a")
    assert snapshot(first) == snapshot(ensure_birds_demo(tmp_path / "b"))
    progress = Counter()
    ensure_birds_demo(first, progress)
    assert progress.calls == []


def _flip(root: Path) -> None:
    path = root / "test" / SPECIES[0].folder / "000.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _edit(root: Path) -> None:
    path = root / "dataset.json"
    path.write_text(path.read_text().replace('"version": ', '"version": 9'))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing image": lambda root: (root / "train" / SPECIES[1].folder / "000.png").unlink(),
    "one image too many": lambda root: (root / "train" / SPECIES[1].folder / "900.png").write_bytes(b"x"),
    "flipped bit": _flip,
    "no description": lambda root: (root / "dataset.json").unlink(),
    "half a description": lambda root: (root / "dataset.json").write_text('{"name": "birds'),
    "another version": _edit,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_rendered_again(tmp_path: Path, damage: str) -> None:
    root = ensure_birds_demo(tmp_path / "birds")
    whole = snapshot(root)
    DAMAGES[damage](root)
    progress = Counter()
    ensure_birds_demo(root, progress)
    assert len(progress.calls) == TOTAL
    assert snapshot(root) == whole


def test_other_settings_are_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = ensure_birds_demo(tmp_path / "birds")
    monkeypatch.setattr(cache, "DIFFICULTY", dataclasses.replace(cache.DIFFICULTY, grain=1.0))
    progress = Counter()
    ensure_birds_demo(root, progress)
    assert len(progress.calls) == TOTAL


def test_interrupted_rendering_leaves_no_files(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_birds_demo(tmp_path / "birds", stop)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_beside_the_set(tmp_path: Path) -> None:
    ensure_birds_demo(tmp_path / "birds")
    assert [path.name for path in tmp_path.iterdir()] == ["birds"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    litter = tmp_path / ".birds-abc.tmp" / "train"
    litter.mkdir(parents=True)
    (litter / "000.png").write_bytes(b"half")
    other = tmp_path / ".birdsong-abc.tmp"
    other.mkdir()
    ensure_birds_demo(tmp_path / "birds")
    assert not litter.parent.exists()
    assert other.exists()


def test_two_processes_at_once_render_once(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pipeline.data.birds_demo import cache\n"
        f"cache.SPLITS = {SPLITS!r}\n"
        "calls = []\n"
        "cache.ensure_birds_demo(Path(sys.argv[1]), lambda done, total: calls.append(done))\n"
        "print(len(calls))"
    )
    root = tmp_path / "birds"
    command = [sys.executable, "-c", program, str(root)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    counts = sorted(int(process.communicate(timeout=120)[0]) for process in running)
    assert [process.returncode for process in running] == [0, 0, 0]
    assert counts == [0, 0, TOTAL]
    progress = Counter()
    ensure_birds_demo(root, progress)
    assert progress.calls == []


def test_unwritable_location_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnavailableError, match=r"birds_demo cannot be kept in .*file") as caught:
        ensure_birds_demo(tmp_path / "file" / "birds")
    assert caught.value.exit_code == 4
    assert "TMKD_CACHE" in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_complete_set_is_usable_in_a_read_only_folder(tmp_path: Path) -> None:
    complete = ensure_birds_demo(tmp_path / "birds")
    tmp_path.chmod(0o500)
    try:
        assert ensure_birds_demo(complete) == complete
        with pytest.raises(UnavailableError, match="birds_demo cannot be kept"):
            ensure_birds_demo(tmp_path / "others")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("foreign", ["holiday.jpg", "train/my_cat/1.jpg"])
def test_other_peoples_files_are_never_replaced(tmp_path: Path, foreign: str) -> None:
    path = tmp_path / "photos" / foreign
    path.parent.mkdir(parents=True)
    path.write_bytes(b"precious")
    with pytest.raises(UnavailableError, match="holds other files"):
        ensure_birds_demo(tmp_path / "photos")
    assert path.read_bytes() == b"precious"


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "birds").mkdir()
    assert (ensure_birds_demo(tmp_path / "birds") / "dataset.json").is_file()


def test_default_root_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = f"birds_demo-v{VERSION}"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("TMKD_CACHE", str(tmp_path / "own"))
    assert default_root() == tmp_path / "own" / folder
    assert ensure_birds_demo() == tmp_path / "own" / folder
    monkeypatch.setenv("TMKD_CACHE", "")
    assert default_root() == tmp_path / "xdg" / "tmkd-pipeline" / folder
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_root() == tmp_path / "home" / ".cache" / "tmkd-pipeline" / folder


def test_missing_home_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMKD_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", staticmethod(no_home))
    with pytest.raises(UnavailableError, match="no home directory"):
        default_root()


def test_birds_demo_does_not_load_torch() -> None:
    program = "import sys, pipeline.data.birds_demo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_lock_that_cannot_be_made_is_reported_for_the_set(tmp_path: Path) -> None:
    (tmp_path / ".birds.lock").mkdir()
    with pytest.raises(UnavailableError, match=r"birds_demo cannot be kept in .*birds") as caught:
        ensure_birds_demo(tmp_path / "birds")
    assert "TMKD_CACHE" in str(caught.value.remedy)
