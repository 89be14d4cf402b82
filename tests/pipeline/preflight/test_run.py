"""Which checks are made when, for which stages, and that everything is reported at once before training."""

from pathlib import Path

from exporters.core.errors import UnavailableError, UsageError
from pipeline.preflight.registry import AFTER_DATA, BEFORE_FIRST_STAGE
from pipeline.stages.registry import STAGE_NAMES
from tests.pipeline.conftest import Run, run_command
from tests.pipeline.preflight.conftest import Prospect


def test_sound_recipe_passes_silently(prospect: Prospect) -> None:
    assert prospect.before_training() == (None, [])


def test_problems_of_networks_and_names_are_reported_together(
    prospect: Prospect, embeddings_file: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words.yaml"
    words.write_text("red_disc: shape\ngreen_square: shape\nblue_bar: bar\n")
    error, _ = prospect.before_training(
        "student.model=timm:vit_tiny_patch16_224",
        "teacher.visual.model=timm:deit_tiny_patch16_224",
        f"teacher.text.anchors={embeddings_file}",
        f"teacher.text.class_names={words}",
    )
    assert isinstance(error, UsageError)
    assert "student.model: the network cannot take images of 32 × 32" in error.message
    assert "teacher.visual.model: the network cannot take images of 32 × 32" in error.message
    assert "are both called 'shape'" in error.message


def test_missing_files_are_reported_together_and_first(prospect: Prospect, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pth"
    error, _ = prospect.before_training(
        f"student.weights={missing}", f"teacher.visual.weights={missing}.2.pth", "device=cuda"
    )
    assert isinstance(error, UnavailableError)
    assert f"student.weights: {missing} does not exist" in error.message
    assert f"teacher.visual.weights: {missing}.2.pth does not exist" in error.message


def test_a_run_fails_before_its_teacher_is_trained(tiny_recipe: Path, tmp_path: Path) -> None:
    outcome = run_command(
        "run", tiny_recipe, "--run-dir", tmp_path / "run",
        "--set", "student.model=timm:test_vit", "--set", "student.arguments={img_size: 32}",
    )  # fmt: skip
    assert outcome.code == 2 and outcome.stages_run == ["data"]
    assert "cat_kd compares class activation maps, and the student has none" in outcome.err
    assert not (tmp_path / "run" / "stages" / "teacher.json").exists()


def test_finished_stages_need_no_machine_check(run: Run, tmp_path: Path) -> None:
    """Only parity needs its provider, and here it is reused up to distill."""
    outcome = run("--until", "distill", "--set", "parity.provider=tensorrt")
    assert outcome.code == 0 and outcome.stages_run == []
    outcome = run("--set", "parity.provider=tensorrt")
    assert outcome.code == 4 and "parity.provider: ONNX Runtime has no TensorrtExecutionProvider" in outcome.err
    assert outcome.stages_run == []


def test_the_registry_names_stages_and_functions_that_exist() -> None:
    for check in (*BEFORE_FIRST_STAGE, *AFTER_DATA):
        assert check.stages <= set(STAGE_NAMES)
        module, _, function = check.function.partition(":")
        assert hasattr(__import__(module, fromlist=[function]), function)
