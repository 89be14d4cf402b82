import io
from pathlib import Path
from typing import Any

import pytest

from exporters.core.errors import GateError, UnavailableError
from pipeline.console import Console
from pipeline.distributed.collectives import is_sharing, sharing
from pipeline.distributed.ranks import Rank
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner import together as module
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.stage import Stage, StageContext
from pipeline.runner.together import follow, run_stage, together

SEEN: list[tuple[Any, ...]] = []


@together
def work(context: StageContext, number: int, *, word: str = "") -> int:
    SEEN.append((context.leads, number, word))
    if word == "gate":
        raise GateError("a gate")
    return number


class SharedStage(Stage):
    name = "shared"
    shared = True

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        return ()

    def parameters(self, recipe: Recipe) -> dict[str, Any]:
        return {}

    def run(self, context: StageContext) -> dict[str, Any]:
        SEEN.append((context.leads, context.fingerprint))
        return {"done": True}


class OwnStage(SharedStage):
    shared = False


class Channel:
    """A group whose messages go to a list, and come from it."""

    def __init__(self) -> None:
        self.rank = Rank(1, 2)
        self.messages: list[Any] = []

    def send(self, message: Any) -> None:
        self.messages.append(message)

    def receive(self) -> Any:
        return self.messages.pop(0) if self.messages else None


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Channel:
    SEEN.clear()
    found = Channel()
    monkeypatch.setattr("pipeline.distributed.group.current_group", lambda: found)
    monkeypatch.setattr(module, "is_one_of_several", lambda: True)
    return found


def context_in(folder: Path, leads: bool = True) -> StageContext:
    (folder / ".lock").touch()
    recipe: Any = {"seed": 4}
    return StageContext(recipe, RunDirectory(folder, folder / "c"), silent(), "print", leads=leads)


def silent() -> Console:
    return Console(io.StringIO(), plain=True)


def followed(channel: Channel) -> None:
    group: Any = channel
    follow(group, silent())


def test_followers_make_the_call_of_the_leader(channel: Channel, tmp_path: Path):
    assert work(context_in(tmp_path), 5, word="x") == 5
    assert SEEN == [(True, 5, "x")]
    followed(channel)
    assert SEEN == [(True, 5, "x"), (False, 5, "x")]


def test_followers_run_a_stage_that_is_shared(channel: Channel, tmp_path: Path):
    assert run_stage(SharedStage(), context_in(tmp_path)) == {"done": True}
    assert run_stage(OwnStage(), context_in(tmp_path)) == {"done": True}
    assert len(channel.messages) == 1
    followed(channel)
    assert SEEN == [(True, "print"), (True, "print"), (False, "print")]


def test_shared_work_within_shared_work_is_sent_once(channel: Channel, tmp_path: Path):
    with sharing():
        work(context_in(tmp_path), 1)
    assert channel.messages == []
    assert SEEN == [(True, 1, "")]
    assert not is_sharing()


def test_followers_send_nothing(channel: Channel, tmp_path: Path):
    work(context_in(tmp_path, leads=False), 1)
    assert channel.messages == []


def test_follower_goes_on_after_a_gate_that_failed_in_the_leader_too(channel: Channel, tmp_path: Path):
    with pytest.raises(GateError):
        work(context_in(tmp_path), 1, word="gate")
    work(context_in(tmp_path), 2)
    followed(channel)
    assert SEEN[2:] == [(False, 1, "gate"), (False, 2, "")]


def test_follower_that_does_not_see_the_run_directory_says_so(channel: Channel, tmp_path: Path):
    work(context_in(tmp_path), 1)
    (tmp_path / ".lock").unlink()
    with pytest.raises(UnavailableError, match="where process 1 keeps its files, is not there on this machine"):
        followed(channel)


def test_a_process_alone_sends_nothing(tmp_path: Path):
    SEEN.clear()
    assert work(context_in(tmp_path), 3) == 3
    assert SEEN == [(True, 3, "")]
