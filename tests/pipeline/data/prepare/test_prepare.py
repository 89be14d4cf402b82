import hashlib
import io
import json
import shutil
import tarfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from exporters.core.errors import UnavailableError, UsageError
from pipeline.data.prepare import prepare as module
from pipeline.data.prepare.prepare import prepare
from pipeline.data.prepare.report import report_prepared
from pipeline.data.prepare.sources import SOURCES, DataSet, Source
from tests.pipeline.conftest import run_command
from tests.pipeline.data.prepare.conftest import Reporter, Served, Server

IMAGES = {"train": 4, "test": 2}


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (seed, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def cub() -> dict[str, bytes]:
    """CUB-200-2011 with two classes, as it comes out of its archive."""
    tables = {"images.txt": "", "image_class_labels.txt": "", "train_test_split.txt": ""}
    files = {"attributes.txt": b"1 has_bill_shape::curved\n"}
    for number in range(6):
        folder = ("001.Black_footed_Albatross", "002.Laysan_Albatross")[number % 2]
        files[f"CUB_200_2011/images/{folder}/{number}.png"] = png(number)
        tables["images.txt"] += f"{number + 1} {folder}/{number}.png\n"
        tables["image_class_labels.txt"] += f"{number + 1} {number % 2 + 1}\n"
        tables["train_test_split.txt"] += f"{number + 1} {int(number < 4)}\n"
    tables["classes.txt"] = "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n"
    return files | {f"CUB_200_2011/{name}": text.encode() for name, text in tables.items()}


@pytest.fixture
def served(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The archive of cub200, from this machine."""
    data = tar(cub())
    server.files["CUB_200_2011.tgz"] = Served(data)
    source = Source(server.url("CUB_200_2011.tgz"), 1, hashlib.md5(data).hexdigest(), unpacked=1)
    monkeypatch.setattr(module, "SOURCES", {"cub200": DataSet((source,), 2, IMAGES, "http://x")})  # type: ignore[arg-type]
    return server


def test_data_set_is_fetched_unpacked_and_read(served: Server, tmp_path: Path, reporter: Reporter) -> None:
    root = tmp_path / "data"
    prepared = prepare("cub200", root, reporter)
    assert {name: len(split) for name, split in prepared.listing.splits.items()} == IMAGES
    assert prepared.fetched and (root / "CUB_200_2011.tgz").exists() and (root / "attributes.txt").exists()
    again = prepare("cub200", root, reporter)
    assert not again.fetched and len(served.asked) == 1
    shutil.rmtree(root / "CUB_200_2011" / "images")  # the archive is still there
    shutil.rmtree(root / "CUB_200_2011")
    assert prepare("cub200", root, reporter).fetched and len(served.asked) == 1


def test_command_prints_counts_and_the_next_commands(served: Server, tmp_path: Path) -> None:
    root = tmp_path / "my data"
    outcome = run_command("data", "prepare", "cub200", "--root", root, "--remove-archives")
    assert outcome.code == 0, outcome.err
    assert "cub200: 2 classes, images: train 4, test 2" in outcome.out
    assert f"next: tmkd-pipeline data inspect cub200 --root '{root}'" in outcome.out
    assert not (root / "CUB_200_2011.tgz").exists()
    outcome = run_command("data", "prepare", "cub200", "--root", root)
    assert outcome.code == 0 and "everything was there already" in outcome.out and len(served.asked) == 1
    outcome = run_command("data", "prepare", "cub200", "--root", root, "--json")
    found = json.loads(outcome.out)
    assert (found["fetched"], found["images"]) == (
        False,
        {"train": 4, "test": 2},
    ) and "cub200: 2 classes" in outcome.err


def test_manually_unpacked_set_is_accepted(served: Server, tmp_path: Path, reporter: Reporter) -> None:
    for name, data in cub().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert not prepare("cub200", tmp_path, reporter).fetched and served.asked == []


def test_manually_placed_archive_is_used(served: Server, tmp_path: Path, reporter: Reporter) -> None:
    (tmp_path / "CUB_200_2011.tgz").write_bytes(served.files["CUB_200_2011.tgz"].data)
    assert prepare("cub200", tmp_path, reporter).fetched and served.asked == []


def test_a_part_of_a_data_set_is_left_alone(
    served: Server, tmp_path: Path, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, data in cub().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    official = DataSet(module.SOURCES["cub200"].sources, 200, {"train": 5_994, "test": 5_794}, "")
    monkeypatch.setattr(module, "SOURCES", {"cub200": official})
    with pytest.raises(UnavailableError) as caught:
        prepare("cub200", tmp_path, reporter)
    assert "200 classes, train 5,994, test 5,794; found 2 classes, train 4, test 2" in caught.value.message
    assert served.asked == []
    fresh = tmp_path / "fresh"
    with pytest.raises(UnavailableError, match="found 2 classes"):
        prepare("cub200", fresh, reporter)


def test_a_wrong_checksum_is_one_clear_error(served: Server, tmp_path: Path) -> None:
    served.files["CUB_200_2011.tgz"].data += b"?"
    outcome = run_command("data", "prepare", "cub200", "--root", tmp_path)
    assert outcome.code == 4 and "expected md5" in outcome.err and "Traceback" not in outcome.err
    assert not (tmp_path / "CUB_200_2011").exists()


def test_archive_with_paths_outside_is_one_clear_error(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["evil.tgz"] = Served(tar({"../outside": b"x"}))
    source = Source(server.url("evil.tgz"), 1, unpacked=1)
    monkeypatch.setattr(module, "SOURCES", {"cub200": DataSet((source,), 2, IMAGES, "")})  # type: ignore[arg-type]
    root = tmp_path / "root"
    outcome = run_command("data", "prepare", "cub200", "--root", root)
    assert outcome.code == 4 and "'../outside' leads out of the folder" in outcome.err
    assert "no checksum is known for it; sha256 " in outcome.out
    assert not (tmp_path / "outside").exists()


def test_a_cut_connection_is_resumed(served: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "download", partial(module.download, pause=lambda _seconds: None))
    served.files["CUB_200_2011.tgz"].cuts = [300]
    outcome = run_command("data", "prepare", "cub200", "--root", tmp_path)
    assert outcome.code == 0 and [asked for _, asked in served.asked] == [None, "bytes=300-"]


def test_unknown_name_or_missing_root_is_refused() -> None:
    outcome = run_command("data", "prepare", "cub20", "--root", "x")
    assert outcome.code == 2 and "did you mean 'cub200'?" in outcome.err
    outcome = run_command("data", "prepare", "cub200")
    assert outcome.code == 2 and "--root DIR" in outcome.err


@pytest.mark.parametrize("name", [name for name, data_set in SOURCES.items() if data_set.by_hand])
def test_sets_that_need_an_account_are_explained(name: str, tmp_path: Path) -> None:
    outcome = run_command("data", "prepare", name, "--root", tmp_path)
    assert outcome.code == 4 and "cannot be fetched without an account" in outcome.err and str(tmp_path) in outcome.err


def test_birds_demo_is_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reporter: Reporter) -> None:
    drawn = []
    listing = SimpleNamespace(classes=["a", "b"], splits={"train": [0], "test": [0]}, ignored={}, root=tmp_path)

    def read(root: Path | None, _settings: object, progress: object) -> object:
        drawn.append(root)
        return listing

    monkeypatch.setattr(module, "load_reader", lambda name: read if name == "birds_demo" else None)
    assert prepare("birds_demo", None, reporter).root is None
    assert prepare("birds_demo", tmp_path, reporter).root == tmp_path and drawn == [None, tmp_path]


def test_concurrent_preparation_is_refused(served: Server, tmp_path: Path, reporter: Reporter) -> None:
    with module._only_one(tmp_path), pytest.raises(UnavailableError, match="another process"):
        prepare("cub200", tmp_path, reporter)


def test_free_space_is_checked_before_any_request(
    served: Server, tmp_path: Path, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=51_000_000))
    with pytest.raises(UnavailableError, match="52 MB are needed, 51 MB are free"):
        prepare("cub200", tmp_path, reporter)
    assert served.asked == []


def test_unknown_data_set_is_a_usage_error(reporter: Reporter, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        prepare("nothing", tmp_path, reporter)


def test_ignored_files_are_reported(tmp_path: Path, reporter: Reporter) -> None:
    from pipeline.data.listing import Listing, Split

    listing = Listing(tmp_path, ["a", "b"], {"train": Split([], []), "test": Split([], [])}, {".txt": 3})
    report_prepared("x", module.Prepared(listing, tmp_path, True), reporter)
    assert "left out: 3 .txt" in reporter.lines
