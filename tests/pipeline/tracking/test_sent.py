import json
from pathlib import Path

import pytest

from pipeline.tracking.sent import Sent
from tests.pipeline.tracking.conftest import epoch


def test_what_was_noted_is_read_back(tmp_path: Path) -> None:
    sent = Sent(identity="of a recipe", run="1a2b")
    sent.add(epoch(1, loss=0.5))
    sent.expect([epoch(2, loss=0.25)])
    sent.write(tmp_path / "notes" / "mlflow.json")
    assert Sent.read(tmp_path / "notes" / "mlflow.json") == sent
    assert sent.count == 1 and sent.pending == {"distill": {"2": epoch(2, loss=0.25).digest}}


def test_only_an_epoch_with_other_figures_contradicts() -> None:
    sent = Sent()
    sent.add(epoch(1, loss=0.5))
    assert sent.has(epoch(1, loss=0.5)) and not sent.contradicts(epoch(1, loss=0.5))
    assert sent.contradicts(epoch(1, loss=0.25))
    assert not sent.contradicts(epoch(2, loss=0.25)) and not sent.contradicts(epoch(1, "teacher", loss=1.0))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"run": 3}', '{"epochs": [1]}', '{"epochs": {"a": {"1": 2}}}', '{"other": 1}']
)
def test_damaged_notes_count_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "n.json").write_text(text)
    assert Sent.read(tmp_path / "n.json") == Sent() == Sent.read(tmp_path / "none")


def test_notes_are_plain_json(tmp_path: Path) -> None:
    Sent(run="x").write(tmp_path / "n.json")
    assert json.loads((tmp_path / "n.json").read_text())["run"] == "x"
