"""A run with a score: only the bundle is made again, and what it says is what its model and its client do."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from exporters.bundle.contents import Known, KnownModel
from exporters.bundle.verify import verify_bundle
from exporters.client import Student
from exporters.core.files import read_json
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.known import KnownSettings
from pipeline.runner.fingerprint import digest
from pipeline.stages.bundle import identity
from pipeline.stages.shared.known import DRAWN_IMAGES, describe_known, foreign_files
from tests.pipeline.conftest import CLASSES, Run, run_command, set_


def energy(logits: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.exp(logits.astype(np.float64)).sum(axis=1)))


def test_run_with_a_score_tells_known_images(run: Run, tmp_path: Path) -> None:
    before = read_json(run.directory / "bundle" / "manifest.json")
    foreign = tmp_path / "foreign" / "below"
    foreign.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(random.integers(0, 256, (50, 40, 3), np.uint8)).save(foreign / f"{number}.png")
    (foreign / "broken.png").write_text("no image")
    chosen = {"known.score": "energy", "known.false_alarms": 0.2, "known.foreign": foreign.parent}
    outcome = run(*set_(chosen))
    assert outcome.code == 0 and outcome.stages_run == ["bundle"], outcome.out + outcome.err
    assert (
        "none of these: by energy" in outcome.out
        and "1 image cannot be read and was left out" in outcome.err + outcome.out
    )

    bundle = run.directory / "bundle"
    manifest = verify_bundle(bundle).manifest
    known, model = manifest["known"], manifest["models"]["model.onnx"]["known"]
    assert known["images"]["validation"] == 12 and known["images"]["test"] == 24 and known["images"]["given"] == 5
    assert {name: count for name, count in known["images"].items() if name.startswith("drawn ")} == dict.fromkeys(
        ("drawn noise", "drawn clouds", "drawn stripes", "drawn rectangles", "drawn plain"), DRAWN_IMAGES
    )
    student = Student.load(bundle)
    tests = [path for kind in CLASSES for path in sorted((run.data / "test" / kind).iterdir())]
    for kind, paths in (("test", tests), ("given", [foreign / f"{number}.png" for number in range(5)])):
        scores = energy(student.logits(np.stack([student.prepare(path) for path in paths])))
        assert int(np.sum(scores < model["threshold"] - 1e-5)) == model["refused"][kind]
    assert model["refused"]["validation"] == 1  # of 12 and 0.2, the second smallest score is the threshold

    images = [*tests[:4], *(foreign / f"{number}.png" for number in range(3))]
    for option in ("--json", "--csv"):
        told = run_command("predict", bundle, *images, option, "--top", 1)
        assert told.code == 0
        answers = [student.answer(path).known for path in images]
        if option == "--json":
            assert [json.loads(line)["known"] for line in told.out.splitlines()] == answers
        else:
            header, *rows = told.out.splitlines()
            assert header == "image,rank,label,probability,known"
            assert [row.endswith(",true") for row in rows] == answers
    text = run_command("predict", bundle, *images).out
    assert text.count("probably none of these") == sum(answer is False for answer in answers)

    # Off again, the bundle is the one that it was but for the speed that was measured.
    assert run().code == 0
    after = read_json(bundle / "manifest.json")
    changing = ("benchmark.json",)
    for name, entry in before["files"].items():
        assert name in changing or after["files"][name] == entry, name
    assert {**after, "files": {}} == {**before, "files": {}}


def test_place_of_foreign_images_is_no_part_of_what_a_bundle_says(tiny_recipe: Path, tmp_path: Path) -> None:
    on = ["known.score=energy"]
    plain, with_folder = (load_recipe(tiny_recipe, [*on, *more]).recipe for more in ([], [f"known.foreign={tmp_path}"]))
    assert identity(plain) == identity(with_folder)
    off = load_recipe(tiny_recipe).recipe
    assert digest(identity(off)) == digest(identity(load_recipe(tiny_recipe, ["known.false_alarms=0.3"]).recipe))
    assert not any(key.startswith("known") for key in identity(off))


def test_foreign_images_count_by_names_sizes_and_times(tiny_recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    recipe = load_recipe(tiny_recipe, ["known.score=energy", f"known.foreign={folder}"]).recipe
    assert foreign_files(recipe) == {}  # what is missing is said before anything runs
    folder.mkdir()
    found = [foreign_files(recipe)]
    for size in (1, 2):
        (folder / "a.png").write_bytes(b"x" * size)
        found.append(foreign_files(recipe))
    assert len({json.dumps(each) for each in found}) == 3
    assert foreign_files(load_recipe(tiny_recipe, [f"known.foreign={folder}"]).recipe) == {}


def test_figures_are_told_in_one_line() -> None:
    model = KnownModel(1.0, {"validation": 4, "test": 6, "drawn noise": 99, "given": 7})
    known = Known(
        "energy", 0.05, {"validation": 100, "test": 120, "drawn noise": 100, "given": 10}, {"model.onnx": model}
    )
    assert describe_known(known) == (
        "none of these: by energy, 5.0 % of test images are refused (asked for: 5 %);"
        " of foreign images: drawn noise 99.0 %, given 70.0 %"
    )


@pytest.mark.parametrize("key", ["known.false_alarms=0.6", "known.false_alarms=0", "known.score=entropy"])
def test_values_out_of_bounds_are_refused(key: str, tiny_recipe: Path) -> None:
    from exporters.core.errors import UsageError

    with pytest.raises(UsageError, match="known"):
        load_recipe(tiny_recipe, [key])


def test_folder_without_a_name_is_refused() -> None:
    with pytest.raises(ValidationError, match="foreign"):
        KnownSettings(foreign="")
