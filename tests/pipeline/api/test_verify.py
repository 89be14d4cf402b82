"""`verify` from Python: what was proved, or an error that names the fault."""

import json

import pytest

from pipeline import Student, verify
from pipeline.errors import GateError, UsageError
from tests.pipeline.conftest import Outcome, Run, run_command


def test_what_was_proved_is_what_the_command_says(
    finished: tuple[Run, Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    made, _ = finished
    proved = verify(str(made.directory / "bundle"), data=made.data, quiet=True)
    assert capsys.readouterr() == ("", "")
    command = run_command("verify", made.directory / "bundle", "--data", made.data, "--json")
    assert json.loads(json.dumps(proved.to_json())) == json.loads(command.out)
    assert proved.accuracy is not None and proved.accuracy.split == "test"
    assert repr(proved).splitlines()[0] == proved.describe() and "accuracy: model.onnx" in repr(proved)
    assert "verified. 15 files" in proved._repr_html_()
    assert verify(made.directory, quiet=True).bundle == proved.bundle  # a run stands for its bundle
    assert Student.load(made.directory).labels == Student.load(proved.bundle).labels


def test_damage_is_named(run: Run) -> None:
    (run.directory / "bundle" / "labels.json").write_text("[]")
    with pytest.raises(GateError, match=r"labels\.json"):
        verify(run.directory / "bundle", quiet=True)
    with pytest.raises(UsageError, match="no such folder"):
        verify(run.directory / "nothing")


def test_accuracy_below_what_is_stated_carries_what_was_measured(run: Run) -> None:
    wrong = run.directory / "wrong"
    for split, target in (("red_disc", "green_square"), ("green_square", "blue_bar"), ("blue_bar", "red_disc")):
        (wrong / target).mkdir(parents=True)
        for path in (run.data / "train" / split).iterdir():
            (wrong / target / path.name).write_bytes(path.read_bytes())
    with pytest.raises(GateError, match="accuracy") as failed:
        verify(run.directory / "bundle", data=wrong, quiet=True)
    assert failed.value.report.images == 48 and failed.value.report.correct["model.onnx"] < 24
