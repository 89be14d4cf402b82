"""The command `predict`."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

from tests.pipeline.conftest import CLASSES, Outcome, Run, assert_one_clear_error, run_command, write


def test_predict_prints_the_most_probable_labels(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    images = [run.data / "test" / kind / "01.png" for kind in CLASSES]
    outcome = run_command("predict", run.directory / "bundle", *images)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [str(image) for image in images]
    for start in range(0, 12, 4):
        shares = [float(line.split("%")[0]) for line in lines[start + 1 : start + 4]]
        labels = {line.split("%")[1].strip() for line in lines[start + 1 : start + 4]}
        assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=0.02)
        assert labels == {"red disc", "green square", "blue bar"}
    assert len(run_command("predict", run.directory, images[0], "--top", 1).out.splitlines()) == 2  # of its bundle


def test_predict_refuses_files_that_are_not_images(finished: tuple[Run, Outcome], tmp_path: Path) -> None:
    bundle = finished[0].directory / "bundle"
    text = write(tmp_path / "notes.jpg", "no image")
    os.mkfifo(tmp_path / "pipe.png")  # nobody writes to it: reading would never end
    for path in (text, tmp_path / "absent.png", tmp_path / "pipe.png"):
        outcome = run_command("predict", bundle, path)
        assert_one_clear_error(outcome, 4)
        assert str(path) in outcome.err
    outcome = run_command("predict", bundle, text, "--provider", "cuda")
    assert outcome.code == 4


def test_predict_continues_after_an_unreadable_image(finished: tuple[Run, Outcome], tmp_path: Path) -> None:
    run, _ = finished
    good = [run.data / "test" / kind / "01.png" for kind in CLASSES]
    text = write(tmp_path / "notes.jpg", "no image")
    mixed = [good[0], text, good[1], tmp_path / "absent.png", good[2]]
    outcome = run_command("predict", run.directory / "bundle", *mixed)
    assert outcome.code == 4 and outcome.out == run_command("predict", run.directory / "bundle", *good).out
    lines = outcome.err.splitlines()
    assert lines[0].startswith(f"{text}: the image cannot be read: not an image")
    assert lines[1] == f"{tmp_path / 'absent.png'}: the image cannot be read: no such file"
    assert lines[2] == "error: 2 of 5 images could not be read" and len(lines) == 4


def test_pattern_goes_on_after_an_unreadable_image(finished: tuple[Run, Outcome], tmp_path: Path) -> None:
    run, _ = finished
    (tmp_path / "b.png").write_bytes((run.data / "test" / CLASSES[0] / "01.png").read_bytes())
    write(tmp_path / "a.png", "no image")
    outcome = run_command("predict", run.directory / "bundle", tmp_path / "*.png")
    assert outcome.code == 4 and outcome.out.splitlines()[0] == str(tmp_path / "b.png")
    assert outcome.err.splitlines()[1] == "error: 1 of 2 images could not be read"


def test_two_forms_at_once_are_a_mistake(finished: tuple[Run, Outcome]) -> None:
    outcome = run_command("predict", finished[0].directory / "bundle", "a.png", "--json", "--csv")
    assert_one_clear_error(outcome, 2)


def test_folders_and_patterns_give_what_their_files_give(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    folder = run.data / "test" / CLASSES[0]
    by_name = run_command("predict", run.directory / "bundle", *sorted(folder.iterdir()))
    assert run_command("predict", run.directory / "bundle", folder).out == by_name.out
    assert run_command("predict", run.directory / "bundle", f"{folder}/*.png").out == by_name.out


def test_list_on_standard_input_is_classified(
    finished: tuple[Run, Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, _ = finished
    images = [run.data / "test" / kind / "01.png" for kind in CLASSES]
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{image}\n" for image in [*images, tmp_path / "gone.png"])))
    outcome = run_command("predict", run.directory / "bundle", "-", "--json")
    assert outcome.code == 4 and "1 of 4 images could not be read" in outcome.err
    assert [json.loads(line)["image"] for line in outcome.out.splitlines()] == [str(image) for image in images]


def test_json_and_csv_say_what_the_text_says(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    image = run.data / "test" / CLASSES[0] / "01.png"
    text = run_command("predict", run.directory / "bundle", image).out.splitlines()[1:]
    expected = [(line.split("%")[1].strip(), float(line.split("%")[0])) for line in text]
    found = json.loads(run_command("predict", run.directory / "bundle", image, "--json").out)
    assert [
        (each["label"], pytest.approx(100 * each["probability"], abs=0.005)) for each in found["predictions"]
    ] == expected
    rows = list(csv.DictReader(io.StringIO(run_command("predict", run.directory / "bundle", image, "--csv").out)))
    assert [row["rank"] for row in rows] == ["1", "2", "3"] and {row["image"] for row in rows} == {str(image)}
    assert [(row["label"], pytest.approx(100 * float(row["probability"]), abs=0.005)) for row in rows] == expected


def test_explain_writes_a_picture_of_each_image(run: Run, tmp_path: Path) -> None:
    """The run goes on with maps from its export, and its bundle verifies."""
    outcome = run("--set", "export.onnx.cam=true", "--no-report")
    assert outcome.code == 0 and outcome.stages_run == ["export", "parity", "bundle"], outcome.out + outcome.err
    bundle, out = run.directory / "bundle", tmp_path / "out"
    told = json.loads((run.directory / "parity" / "parity.json").read_text())["fp32"]["cam"]
    assert told["failures"] == [] and told["whole"]["max_scaled_error"] <= told["bound"]["max_scaled_error"]
    assert run_command("verify", bundle).code == 0
    images = [run.data / "test" / kind / "01.png" for kind in CLASSES]
    broken = write(tmp_path / "notes.jpg", "no image")
    plain = run_command("predict", bundle, *images, "--json")
    explained = run_command("predict", bundle, *images, broken, "--json", "--explain", out)
    assert explained.code == 4 and "1 of 4 images could not be read" in explained.err
    rows = [json.loads(line) for line in explained.out.splitlines()]
    pictures = [Path(row.pop("picture")) for row in rows]
    assert rows == [json.loads(line) for line in plain.out.splitlines()]
    assert sorted(pictures) == sorted(out.glob("*.png")) and len({*pictures}) == 3
    again = run_command("predict", bundle, images[0], "--explain", out)
    assert_one_clear_error(again, 2)
    assert "holds files already" in again.err
    text = run_command("predict", bundle, images[0], "--explain", out, "--overwrite", "--top", 1)
    assert text.code == 0 and text.out.splitlines()[-1] == f"  picture: {pictures[0]}"
    table = run_command("predict", bundle, images[0], "--explain", tmp_path / "more", "--csv")
    assert table.out.splitlines()[0] == "image,rank,label,probability,picture"


def test_explain_refuses_a_bundle_without_maps_and_makes_no_folder(
    finished: tuple[Run, Outcome], tmp_path: Path
) -> None:
    run, _ = finished
    image = run.data / "test" / CLASSES[0] / "01.png"
    outcome = run_command("predict", run.directory / "bundle", image, "--explain", tmp_path / "out")
    assert_one_clear_error(outcome, 4)
    assert "export.onnx.cam: true" in outcome.err and not (tmp_path / "out").exists()
    outcome = run_command("predict", run.directory / "bundle", image, "--overwrite")
    assert_one_clear_error(outcome, 2)
