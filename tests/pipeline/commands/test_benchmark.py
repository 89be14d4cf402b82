"""The command `benchmark`: what it prints and writes, and its mistakes."""

import json
import shutil
from pathlib import Path

import pytest

from exporters.bundle.verify import verify_bundle
from exporters.core.errors import UnavailableError
from exporters.core.files import read_json
from tests.pipeline.conftest import Outcome, Run, run_command

QUICK = ("--batches", "1,2", "--threads", 1, "--seconds", 0)


def test_a_bundle_of_a_run_is_measured_against_its_own_student(run: Run) -> None:
    bundle = run.directory / "bundle"
    outcome = run_command("benchmark", bundle, *QUICK)
    assert outcome.code == 0, outcome.out + outcome.err
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in outcome.out.splitlines()]
    table = [row for row in cells if len(row) == 12]
    assert [row[:2] for row in table] == [["torch-CPU", "fp32"], ["ORT-CPU", "fp32"]]
    assert "batch 1, 1 thread" in outcome.out and "onnxruntime" in outcome.out
    result = read_json(run.directory / "bundle.benchmark" / "benchmark.json")
    assert [entry["runtime"] for entry in result["results"]] == ["torch-cpu", "onnxruntime-cpu"]
    assert (run.directory / "bundle.benchmark" / "benchmark.md").is_file()
    assert str(run.directory) not in json.dumps(result)
    verify_bundle(bundle)  # sealed as before


def test_standard_output_is_json_alone_and_files_go_to_out(run: Run, tmp_path: Path) -> None:
    bundle, out = tmp_path / "elsewhere" / "bundle", tmp_path / "speed"
    shutil.copytree(run.directory / "bundle", bundle)
    outcome = run_command("benchmark", bundle, *QUICK, "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out) == read_json(out / "benchmark.json")
    assert "ORT-CPU" in outcome.err and "WARNING: torch eager was left out" in outcome.err
    assert not bundle.with_name("bundle.benchmark").exists()


def test_missing_and_damaged_bundles_are_refused(run: Run, tmp_path: Path) -> None:
    outcome = run_command("benchmark", tmp_path / "absent", *QUICK)
    assert outcome.code == 2 and "absent: no such folder" in outcome.err
    model = run.directory / "bundle" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    outcome = run_command("benchmark", run.directory / "bundle", *QUICK)
    assert outcome.code == 3 and "model.onnx: damaged" in outcome.err and outcome.out == ""
    assert not (run.directory / "bundle.benchmark").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--batches", "0"], "batches: numbers of 1 or more"),
        (["--batches", "1,many"], "1,many"),
        (["--threads", "0"], "threads: numbers of 1 or more"),
        (["--seconds", "-1"], "seconds: 0 or more"),
        (["--provider", "cpu,npu"], "'npu' is not one of cpu, cuda, tensorrt"),
        (["--providers", "cpu,npu"], "'npu' is not one of cpu, cuda, tensorrt"),
        (["--student", "nowhere"], "nowhere: no student here"),
    ],
)
def test_invalid_command_line_is_refused(finished: tuple[Run, Outcome], arguments: list[str], expected: str) -> None:
    outcome = run_command("benchmark", finished[0].directory / "bundle", *arguments)
    assert outcome.code == 2 and expected in outcome.err and "Traceback" not in outcome.err and outcome.out == ""


def test_output_folder_inside_the_bundle_is_refused(finished: tuple[Run, Outcome]) -> None:
    bundle = finished[0].directory / "bundle"
    outcome = run_command("benchmark", bundle, "--out", bundle / "speed")
    assert outcome.code == 2 and "sealed" in outcome.err


def test_unavailable_provider_is_refused(finished: tuple[Run, Outcome]) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    for option in (["--provider", "cuda"], ["--provider", "cpu", "--provider", "cpu,cuda"], ["--providers", "cuda"]):
        outcome = run_command("benchmark", finished[0].directory / "bundle", *QUICK, *option)
        assert outcome.code == UnavailableError.exit_code and "CUDAExecutionProvider" in outcome.err
        assert outcome.err.startswith("note: --providers is now called --provider\n") == ("--providers" in option)
