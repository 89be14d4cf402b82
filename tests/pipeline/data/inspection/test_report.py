import json
from pathlib import Path

import pytest
from PIL import Image

from pipeline.class_names.words import code_name_warning
from tests.pipeline.conftest import run_command
from tests.pipeline.data.conftest import write_folders


def test_everything_found_is_printed(odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_problem_that_would_stop_a_run_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path / "photos", {"train/a": 1, "train/b": 3, "test/a": 1, "test/b": 1})
    monkeypatch.chdir(tmp_path)
    outcome = run_command("data", "inspect", "photos")
    assert outcome.code == 0
    assert "a run would stop: class 'a' has 1 training image: the validation split needs one" in outcome.out
    assert json.loads(run_command("data", "inspect", "photos", "--json").out)["refusal"].startswith("class 'a' has 1")


def test_code_names_get_the_words_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path / "photos", {"c1": 4, "c2": 4})
    (tmp_path / "words.yaml").write_text("c1: teal\nc2: wood duck\n")
    monkeypatch.chdir(tmp_path)
    warning = code_name_warning(["c1", "c2"])
    assert warning is not None and warning in run_command("data", "inspect", "photos").out
    named = run_command("data", "inspect", "photos", "--set", "teacher.text.class_names=words.yaml")
    assert named.code == 0 and "have a code for a name" not in named.out


def test_what_is_set_aside_for_validation_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path / "photos", {"train/a": 10, "train/b": 10, "test/a": 1, "test/b": 1})
    monkeypatch.chdir(tmp_path)
    outcome = run_command("data", "inspect", "photos", "--set", "data.validation=0.2")
    assert "validation: 4 of the 20 training images, set aside as the stage data does it" in outcome.out, outcome
