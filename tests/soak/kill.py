"""Commands that are killed at random moments, again and again, and must end as if nothing had happened.

    python -m tests.soak.kill --rounds 200 --json kill.json

Each round takes one of five commands: two runs that between them have every stage, one of them with a state that is
saved after each step, two worker processes and a teacher cache; a comparison; an export with its bundle. It is ended by
SIGKILL up to four times, with all its processes: a random time after a random stage has begun, or as soon as a file is
being written there, which is where packing is caught, or where a training there has saved its state so many times,
which is within an epoch where each step is saved. After each kill, every file under a final name must be whole.
At last it may end, and what it leaves is compared with what the undisturbed command has left: bit for bit, but for what
tells time. Exit 1 if anything is not as it should be. Linux.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
if __name__ == "__main__" and not __package__:
    sys.path.insert(0, str(REPOSITORY))  # run as a script

from exporters.core.files import read_json, write_json  # noqa: E402
from tests.soak.outcomes import Outcome, damages, differences, outcome_of, step_of  # noqa: E402

OUT = "out"
"""The folder that a command writes, in a working directory of its own: what it says of its own path is the same."""

_MOST_KILLS = 4
_AIMS = ("at random", "while writing", "while training")
_MOST_SAVED = 15
_PATIENCE = 600.0

_COMMON = {"teacher.runtime": "eager", "export.tensorrt.when": "never"}  # what is chosen by speed may differ
_TMKD = _COMMON | {
    "distill.base": "crd",
    "distill.reference": "base",
    "distill.teacher_cache.passes": 2,
    "student.baseline": "full",
    "train.epochs": 5,
    "train.ema": 0.9,
    "train.checkpoint.every_minutes": 0,
    "data.workers": 2,
}
_AUTO = _COMMON | {
    "distill.method": "auto",
    "distill.auto.candidates": "[kd, tmkd on kd]",
    "student.baseline": "full",
    "train.epochs": 6,
}
_COMPARED = _COMMON | {"train.epochs": 3, "train.checkpoint.every_minutes": 0}


@dataclass
class Command:
    """A command, and what it leaves undisturbed.

    Attributes:
        name: in the report.
        arguments: of `tmkd-pipeline`; it writes `OUT`.
        seconds: what takes time in it → seconds; stages by the path of their record.
        outcome: what it leaves.
    """

    name: str
    arguments: list[str]
    seconds: dict[str, float] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=dict)


def commands(recipe: Path, weights: Path, data: Path) -> list[Command]:
    """The commands of the rounds; `run` comes twice, since it is the longest."""

    def set_(values: dict[str, Any]) -> list[str]:
        return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]

    out = ["--run-dir", OUT]
    tmkd = Command("run", ["run", str(recipe), *out, *set_(_TMKD)])
    auto = Command("run with a race", ["run", str(recipe), *out, *set_(_AUTO)])
    compared = ["compare", str(recipe), "--methods", "ce,kd", "--seeds", "2", *out, *set_(_COMPARED)]
    exported = ["export", str(weights), "--out", OUT, "--data", str(data / "test"), "--bundle"]
    return [tmkd, auto, tmkd, Command("compare", compared), Command("export", exported)]


class Attempt:
    """A command in a process that shares what this one has imported; it and its own processes are a group.

    Args:
        arguments: of `tmkd-pipeline`.
        place: its working directory.
    """

    def __init__(self, arguments: Sequence[str], place: Path) -> None:
        self.code: int | None = None
        self.started = time.time()
        self._pid = os.fork()
        if self._pid == 0:
            _run(arguments, place)
        with suppress(OSError):  # as the process does itself, whichever of the two comes first
            os.setpgid(self._pid, self._pid)

    def is_running(self) -> bool:
        """Whether it has not ended."""
        if self.code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self.code = None if pid == 0 else os.waitstatus_to_exitcode(status)
        return self.code is None

    def wait(self) -> int:
        """Its exit code."""
        end = time.monotonic() + _PATIENCE
        while self.is_running() and time.monotonic() < end:
            time.sleep(0.01)
        if self.code is None:
            self.kill()
        assert self.code is not None
        return self.code

    def kill(self) -> None:
        """End it and its processes without warning."""
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        self.code = os.waitstatus_to_exitcode(status)


def _run(arguments: Sequence[str], place: Path) -> None:
    """In the new process."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(place)
        log = os.open("log.txt", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["tmkd-pipeline", *arguments]
        from pipeline.__main__ import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        os._exit(code)


def prepared(work: Path) -> list[Command]:
    """The commands, each of which has run once undisturbed in `work`."""
    from tests.pipeline.conftest import make_data, write_recipe

    data = make_data(work / "shapes")
    recipe = write_recipe(work / "tiny.yaml", data)
    made = commands(recipe, work / "undisturbed run" / OUT / "distill" / "chosen", data)
    for command in {each.name: each for each in made}.values():
        place = work / f"undisturbed {command.name}"
        place.mkdir()
        began = time.monotonic()
        if Attempt(command.arguments, place).wait() != 0:
            raise SystemExit(f"{command.name} fails undisturbed:\n{(place / 'log.txt').read_text()}")
        command.seconds = _stages(place / OUT) or {"export": time.monotonic() - began}
        command.outcome = outcome_of(place / OUT)
    return made


def _stages(folder: Path) -> dict[str, float]:
    """The records of the stages that ran, by path → seconds."""
    records = {path.relative_to(folder).as_posix(): read_json(path) for path in folder.rglob("stages/*.json")}
    return {name: record["seconds"] for name, record in records.items() if record["status"] == "done"}


def one_round(command: Command, place: Path, draws: random.Random) -> dict[str, Any]:
    """Kill a command some times, let it end, and compare.

    Returns:
        `killed`, where each kill came; `within_epochs`, how many checkpoints within an epoch it was resumed from;
        `wrong`, what is not as it should be.
    """
    place.mkdir()
    folder, killed, wrong, within = place / OUT, [], [], 0
    for _ in range(draws.randint(1, _MOST_KILLS)):
        attempt = Attempt(command.arguments, place)
        where = _kill_somewhere(attempt, command, folder, draws)
        if where is None:
            break
        killed.append(where)
        wrong += damages(folder)
        within += sum(step_of(path) > 0 for path in folder.rglob("checkpoint.pt"))
    code = Attempt(command.arguments, place).wait()
    if code != 0:
        wrong.append(f"exit {code}: {(place / 'log.txt').read_text()[-2000:]}")
    else:
        wrong += [f"{name} differs" for name in differences(outcome_of(folder), command.outcome)]
    return {"command": command.name, "killed": killed, "within_epochs": within, "wrong": wrong}


def _kill_somewhere(attempt: Attempt, command: Command, folder: Path, draws: random.Random) -> str | None:
    """Kill an attempt at a random moment; gives where, or None where it ended before."""
    left = [name for name in command.seconds if not _is(folder / name, "done")] or list(command.seconds)
    target = draws.choice(left)
    exporting = not target.endswith(".json")
    aim = draws.choice(_AIMS[:2] if exporting else _AIMS)
    delay, saves, saved = draws.uniform(0, command.seconds[target]), draws.randint(1, _MOST_SAVED), 0
    while attempt.is_running() and not (
        any(folder.glob(".export-*")) if exporting else _has_begun(folder / target, attempt.started)
    ):
        time.sleep(0.002)
    stage = folder if exporting else (folder / target).parent.parent / Path(target).stem
    end = time.monotonic() + (delay if aim == "at random" else _PATIENCE)
    last = _state_of(stage)
    while attempt.is_running() and time.monotonic() < end:
        if aim == "while training" and (now := _state_of(stage)) != last:
            last, saved = now, saved + 1
        if (aim == "while writing" and any(_temporaries(stage))) or saved == saves:
            time.sleep(draws.uniform(0, 0.01))
            break
        if aim != "at random" and _is(folder / target, "done"):  # it wrote, or trained, too little
            aim = "at its end"
            break
        time.sleep(0.001)
    if not attempt.is_running():
        return None
    attempt.kill()
    return f"{target} {aim}"


def _state_of(stage: Path) -> int:
    """A number that changes with each saved state of a stage's training."""
    try:
        return (stage / "checkpoint.pt").stat().st_ino
    except FileNotFoundError:
        return 0


def _has_begun(record: Path, since: float) -> bool:
    """Whether a stage is done, or was begun or taken up again since then."""
    try:
        return _is(record, "done") or (record.stat().st_mtime >= since and _is(record, "running"))
    except FileNotFoundError:
        return False


def _is(record: Path, status: str) -> bool:
    try:
        return bool(read_json(record)["status"] == status)
    except (OSError, ValueError, KeyError):
        return False


def _temporaries(stage: Path) -> Iterator[Path]:
    """What is being written for a stage, or in the folder of an export."""
    with suppress(FileNotFoundError):  # a folder was placed or removed meanwhile: it is looked at again soon
        for folder in (stage, *stage.glob("*"), *stage.glob(".export-*/*")):
            yield from folder.glob(".*.tmp*")
        yield from stage.parent.glob(".*.tmp*")


def soak(rounds: int, seed: int, work: Path) -> dict[str, Any]:
    """All rounds; the folders of those that went wrong stay in `work`."""
    _import_everything()
    made = prepared(work)
    killed: Counter[str] = Counter()
    wrong: list[dict[str, Any]] = []
    within = 0
    for number in range(rounds):
        command, place = made[number % len(made)], work / f"round {number}"
        result = one_round(command, place, random.Random(f"{seed} {number}"))
        killed.update(f"{command.name}: {where}" for where in result["killed"])
        within += result["within_epochs"]
        print(f"round {number + 1} of {rounds}: {json.dumps(result)}", file=sys.stderr, flush=True)
        if result["wrong"]:
            wrong.append({"round": number, "place": str(place), **result})
        else:
            shutil.rmtree(place)
    return {
        "rounds": rounds,
        "seed": seed,
        "kills": killed.total(),
        "kills_by_place": dict(sorted(killed.items())),
        "checkpoints_within_epochs": within,
        "wrong": wrong,
    }


def _import_everything() -> None:
    """What every attempt needs, once; no thread may have been started when it forks."""
    import onnx
    import onnxruntime
    import onnxscript
    import open_clip
    import timm
    import torch
    import torchvision

    import exporters.command.export
    import pipeline.comparison.compare
    from pipeline.stages.registry import STAGES

    assert STAGES and all((onnx, onnxruntime, onnxscript, open_clip, timm, torchvision, exporters, pipeline))
    torch.set_num_threads(1)


def main(arguments: list[str] | None = None) -> None:
    """Soak, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="where to work, a new folder; default: a temporary one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "CI": "1"}  # bits follow from the number of threads
    work = options.work or Path(tempfile.mkdtemp(prefix="kill-"))
    work.mkdir(parents=True, exist_ok=True)
    result = soak(options.rounds, options.seed, work.resolve())
    print(json.dumps(result, indent=2))
    if options.json is not None:
        write_json(options.json, result)
    if not result["wrong"] and options.work is None:
        shutil.rmtree(work)
    sys.exit(1 if result["wrong"] else 0)


if __name__ == "__main__":
    main()
