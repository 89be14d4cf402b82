import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.inspection import inspect as module
from pipeline.data.inspection.examine import UNIFORM, WRONG_SUFFIX
from pipeline.data.inspection.inspect import default_sheet, inspect
from pipeline.data.inspection.sheet import contact_sheet
from tests.pipeline.conftest import run_command
from tests.pipeline.data.conftest import Data, write_folders

Settings = Callable[..., Data]


def test_every_planted_oddity_is_found(odd: Path, settings: Settings) -> None:
    steps: list[tuple[int, int]] = []
    found = inspect(settings(), workers=2, progress=lambda *step: steps.append(step))
    assert steps == [(i, 27) for i in range(1, 28)]
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


def test_data_set_without_readable_images_is_reported(tmp_path: Path, settings: Settings) -> None:
    write_folders(tmp_path, {"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1})
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"")
    found = inspect(settings())
    assert found.to_json()["width"] is None and found.unreadable.count == 4
    assert contact_sheet(found, tmp_path / "sheet.png") == 2
    outcome = run_command("data", "inspect", "folder", "--root", tmp_path, "--sheet", tmp_path / "sheet.png")
    assert outcome.code == 0 and "unreadable images (data.on_error): 4" in outcome.out


def test_json_is_all_of_the_output(odd: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "my sheet.png"
    outcome = run_command("data", "inspect", "folder", "--root", odd, "--json", "--sheet", sheet)
    facts = json.loads(outcome.out)
    assert facts["across_splits"]["train in test"]["count"] == 2 and facts["contact_sheet"] == str(sheet)
    assert facts["splits"]["train"]["classes"] == [11, 10]


def test_sheet_location_follows_the_data_set_name() -> None:
    assert default_sheet("torchvision:SVHN") == Path("inspect/torchvision-SVHN.png")
    assert default_sheet("hf:a/b").parent == Path("inspect")
