"""The command `verify`."""

import json
from pathlib import Path

from pipeline.recipe import load_recipe
from tests.pipeline.conftest import Outcome, Run, assert_one_clear_error, run_command, write


def test_verify_prints_what_was_proved(finished: tuple[Run, Outcome]) -> None:
    outcome = run_command("verify", finished[0].directory / "bundle")
    assert outcome.code == 0
    assert "verified. 15 files" in outcome.out and "16 golden images" in outcome.out


def test_verify_measures_accuracy_again(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    outcome = run_command("verify", run.directory / "bundle", "--data", load_recipe(run.recipe).recipe.data.root)
    assert outcome.code == 0, outcome.err
    verdict = json.loads((run.directory / "validate" / "verdict.json").read_text())
    top1 = verdict["student"]["chosen"]["test"]["top1"]
    assert f"24 images, exactly those of the test split; accuracy: model.onnx {top1:.4f}" in outcome.out
    assert_one_clear_error(run_command("verify", run.directory / "bundle", "--data", run.directory / "none"), 2)


def test_any_flipped_byte_is_found_and_its_file_named(run: Run) -> None:
    bundle = run.directory / "bundle"
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    assert len(files) == 15
    for path in files:
        content = path.read_bytes()
        for position in (0, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
            outcome = run_command("verify", bundle)
            assert_one_clear_error(outcome, 3)
            assert path.relative_to(bundle).as_posix() in outcome.err
        path.write_bytes(content)
    assert run_command("verify", bundle).code == 0


def test_missing_and_added_files_are_found(run: Run) -> None:
    bundle = run.directory / "bundle"
    write(bundle / "teacher.bin", "secret")
    outcome = run_command("verify", bundle)
    assert_one_clear_error(outcome, 3)
    assert "teacher.bin" in outcome.err
    (bundle / "teacher.bin").unlink()
    (bundle / "labels.json").unlink()
    outcome = run_command("verify", bundle)
    assert_one_clear_error(outcome, 3)
    assert "labels.json" in outcome.err


def test_verify_without_a_bundle(tmp_path: Path) -> None:
    assert_one_clear_error(run_command("verify", tmp_path / "absent"), 2)
    assert_one_clear_error(run_command("verify", tmp_path), 3)


def test_signature_options_are_refused_where_they_say_nothing(tmp_path: Path, run: Run) -> None:
    bundle = run.directory / "bundle"
    outcome = run_command("verify", bundle, "--identity", "ada@example.org")
    assert_one_clear_error(outcome, 2)
    assert "--require-signature" in outcome.err
    assert_one_clear_error(run_command("verify", bundle, "--require-signature"), 2)
    outcome = run_command("verify", bundle, "--require-signature", "--public-key", tmp_path / "key.pub")
    assert_one_clear_error(outcome, 3)
    assert "model.sig: missing" in outcome.err
