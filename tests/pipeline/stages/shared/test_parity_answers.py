import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.parity import DEFAULT_GATES
from exporters.runtimes import OnnxRuntime, TorchRuntime
from exporters.student.student import load_student
from pipeline.console import Console
from pipeline.data.loading import Loader
from pipeline.distributed.group import current_group
from pipeline.runner.stage import StageContext
from pipeline.runner.together import follow
from pipeline.stages.shared.artifacts import artifact_context
from pipeline.stages.shared.inputs import read_data
from pipeline.stages.shared.parity_answers import answers_on_validation, asking_together
from tests.pipeline.conftest import Outcome, Run
from tests.pipeline.distributed.processes import in_two_processes
from tests.pipeline.stages.contexts import context_of


def judged(context: StageContext) -> dict[str, Any]:
    """Reports of the exported file, and of the student in its place."""
    student = load_student(context.run.folder("distill") / "chosen")
    evidence = artifact_context(context, student, read_data(context)).evidence
    gate, model = DEFAULT_GATES["fp32"], (context.run.folder("export") / "model.onnx").read_bytes()
    candidates = (OnnxRuntime(model), TorchRuntime(student), OnnxRuntime(context.run.folder("export") / "model.onnx"))
    return {str(number): evidence.report(each, gate).to_json() for number, each in enumerate(candidates)}


def in_small_batches(patch: pytest.MonkeyPatch) -> None:
    """Validation in three batches, so that there is something to divide."""
    patch.setattr(Loader.evaluation_batches, "__defaults__", (5, *Loader.evaluation_batches.__defaults__[1:]))


def judged_by_two(run: Run, mark: Path) -> dict[str, Any] | None:
    """In process 0 the reports; process 1 helps, and writes down how many images it looked at."""
    group = current_group()
    assert group is not None
    with pytest.MonkeyPatch.context() as patch:
        in_small_batches(patch)
        if group.rank.leads:
            found = judged(context_of(run))
            group.dismiss()
            return found
        looked: list[int] = []
        predict = TorchRuntime.predict

        def counted(runtime: TorchRuntime, images: np.ndarray) -> np.ndarray:
            looked.append(len(images))
            return predict(runtime, images)

        patch.setattr(TorchRuntime, "predict", counted)
        follow(group, Console(io.StringIO(), plain=True))
        mark.write_text(str(looked))
    return None


def test_two_processes_judge_as_one_does(
    finished: tuple[Run, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports are the same in every number; the second process looks at its batch for student and candidate alike."""
    mark = tmp_path / "looked.txt"
    ours, nothing = in_two_processes(partial(judged_by_two, finished[0], mark), tmp_path)
    in_small_batches(monkeypatch)
    assert ours == judged(context_of(finished[0]))
    assert ours["0"]["whole"]["images"] == 12
    assert nothing is None
    assert mark.read_text() == "[5, 5]"  # with the first candidate, and as the second; the third is a file by its path


def test_alone_nobody_is_asked(finished: tuple[Run, Outcome]) -> None:
    context = context_of(finished[0])
    assert asking_together(context) is None
    model = (context.run.folder("export") / "model.onnx").read_bytes()
    ((labels, names, (ours, theirs)),) = answers_on_validation(context, [None, model])
    assert labels is not None and len(labels) == len(names) == len(ours) == 12
    assert abs(ours - theirs).max() < 1e-4
