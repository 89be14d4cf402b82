"""Commands that are killed at chosen places; 20 rounds are slow, more are left to people."""

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.stages.names import STAGE_NAMES
from tests.soak.kill import drawn_places, soak, summary
from tests.soak.outcomes import place_of
from tests.soak.places import AT_RANDOM, EXPORT, IN_AN_EPOCH, WHILE_WRITING, Place, aim, found, is_done
from tests.soak.undisturbed import Command, commands


@pytest.fixture
def made(tmp_path: Path) -> list[Command]:
    return commands(tmp_path / "tiny.yaml", tmp_path / "weights", tmp_path)


def test_every_place_has_its_turn_before_one_comes_again(made: list[Command]) -> None:
    places = [place for command in made for place in command.places]
    for begin in (0, len(places)):
        rounds = [drawn_places(made, begin + number, random.Random(number))[1] for number in range(len(places))]
        drawn = Counter(place for chosen in rounds for place in chosen)
        assert all(count <= drawn[place] for place, count in Counter(places).items())


def test_places_cover_every_stage_every_training_and_packing(made: list[Command]) -> None:
    runs = [place for command in made for place in command.places if place.record.startswith("stages/")]
    assert {Path(place.record).stem for place in runs} == set(STAGE_NAMES)
    trained = {Path(place.record).stem for place in runs if place.moment == IN_AN_EPOCH}
    assert trained == {"baseline", "teacher", "text", "race", "distill", "reference"}
    assert Place("run", "stages/bundle.json", WHILE_WRITING) in runs
    assert {command.name for command in made} == {"run", "run with a race", "compare", "export"}


def test_kills_of_a_round_come_in_the_order_of_stages(made: list[Command]) -> None:
    for number in range(60):
        command, places = drawn_places(made, number, random.Random(number))
        order = [command.records.index(place.record) for place in places]
        assert order == sorted(order) and 1 <= len(places) <= 4
        assert number % 5 == 0 or len(set(order)) == 1


def test_drawn_moment_is_within_what_the_stage_takes() -> None:
    place = Place("run", "stages/distill.json", AT_RANDOM)
    drawn = [aim(place, 2.0, 3, random.Random(seed)) for seed in range(50)]
    assert 0 <= min(each.seconds for each in drawn) < 0.5 and 1.5 < max(each.seconds for each in drawn) <= 2
    assert {each.epoch for each in drawn} == {0, 1, 2}


def leave(folder: Path, status: str, epochs: int = 0, step: int = 0) -> None:
    import torch

    (folder / "stages").mkdir(parents=True)
    (folder / "distill").mkdir()
    (folder / "stages" / "distill.json").write_text(json.dumps({"status": status}))
    state = {"state": {"history": [{}] * epochs, "step": step}}
    torch.save(state, folder / "distill" / "checkpoint.pt")


def test_kill_counts_as_in_an_epoch_by_the_checkpoint_that_it_leaves(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    place = Place("run", "stages/distill.json", IN_AN_EPOCH)
    leave(tmp_path / "within", "running", 1, 2)
    assert place_of(tmp_path / "within" / "distill" / "checkpoint.pt") == (1, 2)
    assert found(place, tmp_path / "within") == {"epoch": 1, "step": 2}
    leave(tmp_path / "between", "running", 1, 0)
    assert found(place, tmp_path / "between") is None
    leave(tmp_path / "after", "done", 3, 0)
    assert found(place, tmp_path / "after") is None and is_done(place, tmp_path / "after")


def test_kill_counts_as_while_writing_by_the_temporary_file_that_it_leaves(tmp_path: Path) -> None:
    place = Place("run", "stages/bundle.json", WHILE_WRITING)
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "bundle.json").write_text('{"status": "running"}')
    assert found(place, tmp_path) is None
    (tmp_path / ".bundle-12ab.tmp.tar").write_bytes(b"half")
    assert found(place, tmp_path) == {}


def test_export_is_hit_while_its_files_are_not_in_place(tmp_path: Path) -> None:
    place = Place("export", EXPORT, AT_RANDOM)
    assert found(place, tmp_path) is None and not is_done(place, tmp_path)
    (tmp_path / ".export-12ab").mkdir()
    assert found(place, tmp_path) == {}
    (tmp_path / ".export-12ab").rmdir()
    (tmp_path / "parity.json").write_text("{}")
    assert is_done(place, tmp_path)


def played(number: int, **changes: Any) -> dict[str, Any]:
    kills = [{"place": "run: distill in an epoch", "hit": True, "epoch": 0, "step": 1}]
    one = {"round": number, "command": "run", "from": "", "until": "", "kills": kills, "wrong": []}
    return one | {"commit": "1234567", "seconds": 2.0} | changes


def test_figures_count_kills_by_place_and_those_elsewhere() -> None:
    missed = [{"place": "run: fusion at random", "hit": False}]
    found = summary(0, [played(1), played(2, kills=missed, until="race"), played(3, wrong=["exit 1"])])
    assert found["kills"] == 3 and found["kills_elsewhere"] == 1 and found["kills_in_an_epoch"] == 2
    assert found["kills_by_place"] == {"run: distill in an epoch": 2}
    assert found["whole_rounds"] == 2 and [each["round"] for each in found["wrong"]] == [3]


def test_finished_series_is_read_and_another_seed_refused(tmp_path: Path) -> None:
    kept = tmp_path / "kill.json"
    kept.write_text(json.dumps({"seed": 7, "played": [played(1), played(2)]}))
    assert soak(range(1, 3), 7, tmp_path / "work", kept)["rounds"] == 2
    with pytest.raises(SystemExit, match="seed 7"):
        soak(range(1, 3), 8, tmp_path / "work", kept)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_commands_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "tests.soak.kill", "--rounds", "20", "--work", str(tmp_path / "work")]
    done = subprocess.run([*command, "--json", str(tmp_path / "kill.json")], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads((tmp_path / "kill.json").read_text())
    assert found["rounds"] == 20 and found["kills"] >= 20 and found["wrong"] == []
    assert found["kills_in_an_epoch"] > 0 and found["whole_rounds"] == 4
