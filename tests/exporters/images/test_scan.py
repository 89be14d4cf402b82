from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from exporters.images.outputs import write_marker
from exporters.images.scan import Scan


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_files_folders_and_images_are_listed_separately(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a.png", "notes.txt", ".hidden.png", "folder.png/x.png", "README")
    scan = Scan(tmp_path)
    assert scan.entries(tmp_path) == (["README", "a.png", "b.JPG", "notes.txt"], ["folder.png"])
    scan = Scan(tmp_path)
    assert scan.images_in(tmp_path) == ["a.png", "b.JPG"]
    assert scan.left_out.counts == {".txt": 1, "file without a suffix": 1, "hidden file": 1}
    assert scan.left_out.first["hidden file"] == ".hidden.png"
    assert Scan(tmp_path).images_below(tmp_path) == ["a.png", "b.JPG", "folder.png/x.png"]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="gone: cannot be listed"):
        Scan(tmp_path).entries(tmp_path / "gone")


def test_folders_of_systems_and_tools_are_left_out_and_counted(tmp_path: Path) -> None:
    touch(
        tmp_path, "x/a.png", "__MACOSX/x/._a.png", "x/.ipynb_checkpoints/a-checkpoint.png", "x/@eaDir/a.png",
        ".git/a.png", "mine/a.png", "lost+found/a.png",
    )  # fmt: skip
    write_marker(tmp_path / "mine")
    scan = Scan(tmp_path)
    assert scan.images_below(tmp_path) == ["x/a.png"]
    assert scan.left_out.counts == {
        "__MACOSX/": 1, ".ipynb_checkpoints/": 1, "@eaDir/": 1, "hidden folder": 1, "lost+found/": 1,
        "folder written by tmkd-pipeline": 1,
    }  # fmt: skip


def test_links_are_followed_once_and_outside_links_are_recorded(tmp_path: Path) -> None:
    touch(tmp_path, "set/a/1.png", "set/b/2.png", "other/3.png", "blob")
    root = tmp_path / "set"
    (root / "a/in.png").symlink_to("1.png")
    (root / "a/named.png").symlink_to(tmp_path / "blob")
    (root / "a/dead.png").symlink_to("gone.png")
    (root / "a/far").symlink_to("../../other")
    (root / "a/far_again").symlink_to("../../other")
    scan = Scan(root)
    assert scan.images_below(root / "a") == ["a/1.png", "a/far/3.png", "a/in.png", "a/named.png"]
    assert scan.left_out.counts == {"dead link": 1, "link to a folder that was read already": 1}
    assert scan.links.counts.total() == 3
    assert next(iter(scan.links.first.values())) == f"a/far -> {tmp_path}/other"


def test_loop_of_links_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "set/a/1.png", "x/1.png", "y/2.png")
    (tmp_path / "set/a/x").symlink_to(tmp_path / "x")
    (tmp_path / "x/y").symlink_to(tmp_path / "y")
    (tmp_path / "y/x").symlink_to(tmp_path / "x")
    with pytest.raises(UnavailableError, match="a/x/y/x: links to a folder that holds it"):
        Scan(tmp_path / "set").images_below(tmp_path / "set/a")


def test_exponentially_many_link_paths_are_scanned_quickly(tmp_path: Path) -> None:
    """Forty folders, each with two links to the next, have 2⁴⁰ ways through them."""
    for number in range(40):
        touch(tmp_path, f"{number}/x.png")
        for name in ("one", "two"):
            (tmp_path / f"{number}/{name}").symlink_to(tmp_path / f"{number + 1}")
    assert len(Scan(tmp_path).images_below(tmp_path / "0")) == 40


def test_folders_that_are_too_deep_are_refused(tmp_path: Path) -> None:
    (tmp_path / "/".join("d" * 80)).mkdir(parents=True)
    with pytest.raises(UnavailableError, match="lies more than 64 folders deep"):
        Scan(tmp_path).images_below(tmp_path)
