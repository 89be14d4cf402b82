"""Batches of one image, in each network that is trained."""

import json
from pathlib import Path

import pytest
import torch

from pipeline.preflight import first_step
from tests.pipeline.preflight.conftest import Prospect

# Four halvings of 16 pixels leave a map of one pixel.
SHRINKING = ("student.model=resnet18", "data.image_size=16", "distill.method=ce")


def test_one_value_a_channel_is_refused_for_the_student(prospect: Prospect) -> None:
    report = prospect.report(first_step.check_student, *SHRINKING, "train.batch_size=1")
    (error,) = report.errors
    assert error.exit_code == 2
    assert "train.batch_size: the student resnet18 has batch norms" in error.message
    assert error.remedy == "Set train.batch_size to 2 or more."


def test_two_images_are_enough(prospect: Prospect) -> None:
    report = prospect.report(first_step.check_student, *SHRINKING, "train.batch_size=2")
    assert not report.errors and not report.warnings


def test_one_value_a_channel_is_refused_for_the_teacher(prospect: Prospect) -> None:
    report = prospect.report(
        first_step.check_teacher,
        "teacher.visual.model=resnet18",
        "data.image_size=16",
        "teacher.visual.fit.batch_size=1",
    )
    (error,) = report.errors
    assert "teacher.visual.fit.batch_size: the visual teacher resnet18 has batch norms" in error.message


def test_one_value_a_channel_is_refused_for_clip(prospect: Prospect, tmp_path: Path) -> None:
    description = tmp_path / "clip_with_batch_norm.json"
    description.write_text(
        json.dumps(
            {
                "embed_dim": 16,
                "vision_cfg": {
                    "image_size": 32,
                    "timm_model_name": "resnet18",
                    "timm_pool": "avg",
                    "timm_proj": "linear",
                },
                "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
            }
        )
    )
    report = prospect.report(
        first_step.check_text, f"teacher.text.model={description}", "teacher.text.fit.batch_size=1"
    )
    (error,) = report.errors
    assert "teacher.text.fit.batch_size: the text teacher" in error.message


def test_a_single_training_image_is_a_batch_of_one(prospect: Prospect, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = prospect.subject(*SHRINKING, "train.batch_size=16")
    train = subject.index.splits["train"]
    mask = torch.arange(len(train)).numpy() == 0
    subject.index.splits["train"] = train.select(mask)
    with pytest.raises(Exception, match="batch norms that see one value") as caught:
        first_step.check_student(subject, prospect.report(lambda _subject, _report: None))
    assert "single image" in caught.value.remedy  # type: ignore[attr-defined]


def test_batch_norm_on_single_images_with_larger_maps_is_warned_of(prospect: Prospect) -> None:
    report = prospect.report(first_step.check_student, "train.batch_size=1", "distill.method=ce")
    assert not report.errors
    (warning,) = report.warnings
    assert warning.startswith("train.batch_size: a batch is one image")


def test_networks_without_batch_norm_take_single_images(prospect: Prospect) -> None:
    report = prospect.report(
        first_step.check_student,
        "student.model=timm:test_vit",
        "student.arguments={img_size: 32}",
        "distill.method=ce",
        "train.batch_size=1",
    )
    assert not report.errors and not report.warnings


def test_the_networks_are_left_as_they_were(prospect: Prospect) -> None:
    subject = prospect.subject()
    tapped = subject.student().tapped
    before = {name: tensor.clone() for name, tensor in tapped.state_dict().items()}
    state = torch.get_rng_state()
    report = prospect.report(lambda _subject, _report: None)
    first_step.check_student(subject, report)
    assert not report.errors
    assert all(torch.equal(before[name], tensor) for name, tensor in tapped.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert not tapped.tap_stages


def test_baseline_alone_is_checked_without_a_teacher(prospect: Prospect) -> None:
    report = prospect.report(
        first_step.check_plain_student, *SHRINKING, "train.batch_size=1", stages=("data", "baseline")
    )
    (error,) = report.errors
    assert "train.batch_size: the student resnet18 has batch norms" in error.message
    assert not prospect.report(first_step.check_plain_student, *SHRINKING, "train.batch_size=1").errors
