"""What counts as a difference between two runs, and what does not."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.soak.outcomes import damages, differences, outcome_of


def make(folder: Path, seconds: float = 1.0, weight: float = 0.5) -> Path:
    (folder / "stages").mkdir(parents=True)
    (folder / "bundle").mkdir()
    (folder / "cache").mkdir()
    (folder / "cache" / "rows.npy").write_bytes(bytes([int(seconds)]))
    (folder / ".lock").write_text(str(seconds))
    (folder / "report" / "figures").mkdir(parents=True)
    for page in ("report.html", "report/figures/training-time.svg"):
        (folder / page).write_text(str(seconds))
    (folder / "compare.md").write_text(f"took {seconds}")
    for name in ("compare.json", "bundle/benchmark.json"):
        (folder / name).write_text(json.dumps({"score": weight, "seconds": seconds, "rounds": int(9 * seconds)}))
    record = {"stage": "bundle", "seconds": seconds, "summary": {"bytes": seconds, "top1": weight}}
    record["outputs"] = {"bundle/benchmark.json": str(seconds), "bundle/model.onnx": str(weight)}
    (folder / "stages" / "bundle.json").write_text(json.dumps(record))
    line = {"stage": "distill", "epoch": 1, "loss": weight, "time": {"seconds": seconds}}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    save_file({"w": np.float32([weight])}, folder / "student.safetensors")
    with tarfile.open(folder / "bundle.tar", "w") as archive:
        for path in sorted((folder / "bundle").iterdir()):
            archive.add(path, f"bundle/{path.name}")
    return folder


def test_runs_that_differ_in_time_alone_are_alike(tmp_path: Path) -> None:
    one, two = (outcome_of(make(tmp_path / name, seconds)) for name, seconds in (("one", 1.0), ("two", 2.0)))
    assert differences(one, two) == [] and len(one) == 6


def test_each_file_with_another_content_is_a_difference(tmp_path: Path) -> None:
    one, two = outcome_of(make(tmp_path / "one")), outcome_of(make(tmp_path / "two", weight=0.75))
    assert differences(one, two) == sorted(one)


@pytest.mark.parametrize("name", ["student.safetensors", "metrics.jsonl", "stages/bundle.json"])
def test_missing_and_left_over_files_are_differences(name: str, tmp_path: Path) -> None:
    whole, other = outcome_of(make(tmp_path / "one")), make(tmp_path / "two")
    (other / name).rename(other / ".left.tmp")
    found = differences(whole, outcome_of(other))
    assert found == sorted([name, ".left.tmp"])


@pytest.mark.parametrize("name", ["student.safetensors", "metrics.jsonl", "stages/bundle.json", "bundle.tar"])
def test_half_a_file_is_named(name: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "one")
    assert damages(folder) == []
    (folder / name).write_bytes((folder / name).read_bytes()[:30])
    (folder / "stages" / ".new.tmp.json").write_text("{")
    (found,) = damages(folder)
    assert found.startswith(f"{folder / name}: ")
