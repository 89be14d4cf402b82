import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.inspection import inspect as module
from pipeline.data.inspection.examine import UNIFORM, WRONG_SUFFIX
from pipeline.data.inspection.inspect import default_sheet, inspect
from pipeline.data.inspection.sheet import SIDE, contact_sheet, images_per_class
from tests.pipeline.conftest import run_command
from tests.pipeline.data.conftest import Data, write_folders

Settings = Callable[..., Data]


@pytest.fixture
def odd(folders: Path) -> Path:
    """`folders` with a copy in training, two across splits, one in two classes, a broken and a one-coloured image."""
    shutil.copy(folders / "train/teal/000.png", folders / "train/teal/copy.png")
    shutil.copy(folders / "test/teal/000.png", folders / "train/teal/leak.png")
    shutil.copy(folders / "test/teal/001.png", folders / "train/wood_duck/leak.png")
    (folders / "train/wood_duck/broken.png").write_bytes(b"no image")
    Image.new("RGB", (40, 30), (9, 9, 9)).save(folders / "test/wood_duck/grey.jpg", "PNG")
    (folders / "train/teal/notes.txt").write_text("x")
    return folders


def test_everything_that_is_there_is_found(odd: Path, settings: Settings) -> None:
    told: list[tuple[int, int]] = []
    found = inspect(settings(), workers=2, progress=lambda *step: told.append(step))
    assert told == [(i, 27) for i in range(1, 28)]
    assert found.class_counts("train").tolist() == [11, 10] and found.class_counts("test").tolist() == [2, 4]
    assert found.formats == {"PNG": 26} and found.modes == {"RGB": 26}
    assert found.unreadable.count == 1 and found.unreadable.examples[0].startswith("train/wood_duck/broken.png: ")
    assert (found.copies["train"].examples, found.copies["test"].count) == (
        ["train/teal/copy.png = train/teal/000.png"], 0
    )  # fmt: skip
    assert set(found.leaks) == {("train", "test")}
    assert found.leaks["train", "test"].examples == [
        "train/teal/leak.png = test/teal/000.png", "train/wood_duck/leak.png = test/teal/001.png"
    ]  # fmt: skip
    assert found.conflicts.examples == ["test/teal/001.png = train/wood_duck/leak.png"]
    assert {kind: odd.examples for kind, odd in found.oddities.items() if odd.count} == {
        WRONG_SUFFIX: ["test/wood_duck/grey.jpg"], UNIFORM: ["test/wood_duck/grey.jpg"]
    }  # fmt: skip
    facts = found.to_json()
    sizes = [Image.open(path).size for path in odd.rglob("*.*") if path.name not in ("broken.png", "notes.txt")]
    for key, values in (
        ("width", [w for w, _ in sizes]), ("height", [h for _, h in sizes]), ("shorter_side", [min(s) for s in sizes])
    ):  # fmt: skip
        assert facts[key] == {"min": min(values), "median": float(np.median(values)), "max": max(values)}
    assert facts["ignored"] == {".txt": 1}
    json.dumps(facts)


def test_a_hundred_of_a_kind_are_counted_and_ten_named(tmp_path: Path, settings: Settings) -> None:
    write_folders(tmp_path, {"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1})
    for i in range(100):
        (tmp_path / f"train/a/broken{i:03}.png").write_bytes(b"x")
        shutil.copy(tmp_path / "train/b/000.png", tmp_path / f"train/b/copy{i:03}.png")
    found = inspect(settings())
    assert (found.unreadable.count, len(found.unreadable.examples)) == (100, module.EXAMPLES)
    assert (found.copies["train"].count, len(found.copies["train"].examples)) == (100, module.EXAMPLES)


def test_where_nothing_can_be_read(tmp_path: Path, settings: Settings) -> None:
    write_folders(tmp_path, {"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1})
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"")
    found = inspect(settings())
    assert found.to_json()["width"] is None and found.unreadable.count == 4
    assert contact_sheet(found, tmp_path / "sheet.png") == 2
    outcome = run_command("data", "inspect", "folder", "--root", tmp_path, "--sheet", tmp_path / "sheet.png")
    assert outcome.code == 0 and "unreadable images (data.on_error): 4" in outcome.out


def test_the_command_tells_it(odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run_command("data", "inspect", "folder", "--root", odd)
    assert outcome.code == 0, outcome.err
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in outcome.out.splitlines()]
    assert ["train", "10 (wood duck)", "11 (teal)", "21", "1", "1"] in rows
    for line in (
        "images of train that stand in test too (data.on_leak): 2", "    train/teal/leak.png = test/teal/000.png",
        "the same image in several classes: 1", "unreadable images (data.on_error): 1", "one colour alone: 1",
        "left out: 1 .txt (train/teal/notes.txt)", "formats: PNG 26", "contact sheet of 2 classes: inspect/folder.png",
    ):  # fmt: skip
        assert line in outcome.out
    assert "data.image_size" not in outcome.out
    assert Image.open(tmp_path / "inspect" / "folder.png").format == "PNG"
    outcome = run_command("data", "inspect", "folder", "--root", odd, "--set", "data.image_size=32")
    assert "26 of 26 images are smaller than data.image_size (32 px)" in outcome.out


def test_a_data_set_in_the_working_directory_is_inspected_twice_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folders(tmp_path, {"a": 4, "b": 4})
    monkeypatch.chdir(tmp_path)
    first, second = (run_command("data", "inspect", "folder", "--root", ".") for _ in range(2))
    assert first.code == second.code == 0, second.err
    told = "left out: 1 folder written by tmkd-pipeline (inspect)"
    assert told not in first.out and told in second.out and "2 classes" in second.out


def test_a_sheet_among_the_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, {"a": 4, "b": 4})
    monkeypatch.chdir(tmp_path)
    outcome = run_command("data", "inspect", "folder", "--root", ".", "--sheet", "a/sheet.png")
    assert outcome.code == 2 and "the sheet would be one of them" in outcome.err and not Path("a/sheet.png").exists()
    assert run_command("data", "inspect", "folder", "--root", ".", "--sheet", "sheet.png").code == 0
    assert run_command("data", "inspect", "folder", "--root", ".").code == 0


def test_classes_that_differ_in_case_alone_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, {"Cat": 4, "cat": 4})
    monkeypatch.chdir(tmp_path)
    outcome = run_command("data", "inspect", "folder", "--root", ".")
    assert outcome.code == 0 and "the classes 'Cat' and 'cat' differ in case or blanks alone" in outcome.out


def test_json_is_all_of_the_output(odd: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "my sheet.png"
    outcome = run_command("data", "inspect", "folder", "--root", odd, "--json", "--sheet", sheet)
    facts = json.loads(outcome.out)
    assert facts["across_splits"]["train in test"]["count"] == 2 and facts["contact_sheet"] == str(sheet)
    assert facts["splits"]["train"]["classes"] == [11, 10]


def test_a_recipe_is_inspected_too(tiny_recipe: Path, tiny_data: Path, tmp_path: Path) -> None:
    outcome = run_command("data", "inspect", tiny_recipe, "--sheet", tmp_path / "s.png")
    assert outcome.code == 0, outcome.err
    assert (
        f"3 classes in {tiny_data}" in outcome.out and "0 of 84 images are smaller than data.image_size" in outcome.out
    )
    assert "the same image in several classes: 1" in outcome.out and "no image stands in two splits" in outcome.out
    other = run_command("data", "inspect", tiny_recipe, "--root", tmp_path / "absent", "--sheet", tmp_path / "s.png")
    assert other.code == 4 and "absent" in other.err


def test_a_folder_needs_no_name_of_a_data_set(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = tmp_path / "s.png"
    named = run_command("data", "inspect", "folder", "--root", tiny_data, "--json", "--sheet", sheet)
    outcome = run_command("data", "inspect", tiny_data, "--json", "--sheet", sheet)
    assert outcome.code == 0 and json.loads(outcome.out) == json.loads(named.out)
    outcome = run_command("data", "inspect", tiny_data, "--root", tmp_path)
    assert outcome.code == 2 and f"{tiny_data} is a folder already" in outcome.err
    # A data set's name stays one where a folder is called the same.
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_data, tmp_path / "cub200")
    outcome = run_command("data", "inspect", "cub200")
    assert outcome.code == 2 and "For the folder of that name here: ./cub200" in outcome.err
    assert run_command("data", "inspect", "./cub200", "--sheet", sheet).code == 0


def test_names_that_are_neither(tmp_path: Path) -> None:
    outcome = run_command("data", "inspect", "cub20", "--root", tmp_path)
    assert outcome.code == 2 and "neither a folder nor a data set nor a recipe; did you mean cub200?" in outcome.err
    outcome = run_command("data", "inspect", "cub200")
    assert outcome.code == 2 and "--root DIR" in outcome.err
    assert run_command("data", "inspect", "x" * 5000).code == 2


def test_roots_that_read_like_yaml(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "a: b # [c]", {"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1})
    outcome = run_command("data", "inspect", "folder", "--root", root, "--sheet", tmp_path / "s.png")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(("classes", "widest"), [(2, 600), (200, 2600)])
def test_the_sheet_has_every_class_and_a_sensible_shape(
    tmp_path: Path, settings: Settings, classes: int, widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8))
    for label in range(classes):
        for split in ("train", "test"):
            folder = tmp_path / split / f"class with a long name number {label:04}"
            folder.mkdir(parents=True)
            image.save(folder / "0.png")
    found = inspect(settings())
    path = tmp_path / "sheet.png"
    assert contact_sheet(found, path) == min(classes, 1000)
    with Image.open(path) as sheet:
        assert (max(sheet.size) <= widest and 0.4 < sheet.width / sheet.height < 2.5) or classes == 2
        assert sheet.width * sheet.height >= min(classes, 1000) * images_per_class(min(classes, 1000)) * SIDE**2


def test_letters_of_every_script(tmp_path: Path, settings: Settings) -> None:
    write_folders(tmp_path, {f"{split}/{name}": 1 for split in ("train", "test") for name in ("鴨 とり", "утка 🦆")})
    assert contact_sheet(inspect(settings()), tmp_path / "sheet.png") == 2


def test_the_sheets_place_follows_the_name() -> None:
    assert default_sheet("torchvision:SVHN") == Path("inspect/torchvision-SVHN.png")
    assert default_sheet("hf:a/b").parent == Path("inspect")
