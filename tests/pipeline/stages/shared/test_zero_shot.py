"""Accuracy by prompts alone: measured as the stage reports it, and told with what helps where it says nothing."""

import io
from dataclasses import replace

import pytest

from exporters.core.files import read_json
from pipeline.console import Console
from pipeline.stages.shared.inputs import read_data
from pipeline.stages.shared.teachers import read_text_teacher
from pipeline.stages.shared.zero_shot import measure_zero_shot
from pipeline.training.device import make_fabric
from tests.pipeline.conftest import Outcome, Run
from tests.pipeline.stages.contexts import context_of


def measured(run: Run) -> tuple[dict[str, float], str]:
    """The accuracies, and what is said of them in one line."""
    stream = io.StringIO()
    context = replace(context_of(run), console=Console(stream, plain=True))
    teacher = read_text_teacher(context)
    assert teacher is not None and teacher.clip is not None
    accuracies = measure_zero_shot(
        context, read_data(context), teacher.clip, teacher.embeddings, make_fabric("cpu", "fp32")
    )
    return accuracies, " ".join(stream.getvalue().split())


def test_accuracy_is_that_of_the_report(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    accuracies, said = measured(run)
    assert accuracies == read_json(run.directory / "text" / "report.json")["zero_shot"]
    assert f"rgb {100 * accuracies['rgb']:.2f} %" in said and "from prompts alone" in said


def test_view_at_chance_level_is_named_with_what_helps(
    finished: tuple[Run, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"rgb": 1.0, "edge": 1 / 3, "high_frequency": 1.0}
    monkeypatch.setattr("pipeline.evaluation.zero_shot.zero_shot_accuracy", lambda *_arguments: values)
    accuracies, said = measured(finished[0])
    assert accuracies == values
    assert (
        "so few images cannot show whether the text teacher says anything about them in the view edge: 33.33 %" in said
    )
    assert "a trained network as its tower (teacher.text.tower: teacher)" in said
    monkeypatch.setitem(values, "edge", 1.0)
    assert "WARNING" not in measured(finished[0])[1]
