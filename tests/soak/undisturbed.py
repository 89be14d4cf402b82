"""The commands that are killed, and what each leaves undisturbed, after every stage and at its end."""

import hashlib
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporters.core.files import read_json, write_json
from exporters.images.outputs import MARKER
from pipeline.stages.names import STAGE_NAMES
from tests.soak.attempts import LOG, TOLD, Attempt, import_libraries, learn, remember_rehearsals
from tests.soak.outcomes import Outcome, differences, outcome_of
from tests.soak.places import AT_RANDOM, EXPORT, IN_AN_EPOCH, WHILE_WRITING, Place

REPOSITORY = Path(__file__).resolve().parents[2]
OUT = "out"
"""The folder that a command writes, in a working directory of its own: what it says of its own path is the same."""

_COMMON = {"teacher.runtime": "eager", "export.tensorrt.when": "never"}  # what is chosen by speed may differ
_TMKD = _COMMON | {
    "distill.base": "crd",
    "distill.reference": "base",
    "distill.teacher_cache.passes": 2,
    "student.baseline": "full",
    "train.epochs": 3,
    "train.ema": 0.9,
    "train.checkpoint.every_minutes": 0,
    "data.workers": 2,
}
_AUTO = _COMMON | {
    "distill.method": "auto",
    "distill.auto.candidates": "[kd, tmkd on kd]",
    "student.baseline": "full",
    "train.epochs": 6,
    "train.checkpoint.every_minutes": 0,
}
_COMPARED = _COMMON | {"train.epochs": 3, "train.checkpoint.every_minutes": 0}
_SEEDS = (3, 4)
_TRAINING = ("baseline", "teacher", "text", "race", "distill", "reference")
_EPOCHS = {"teacher": 3, "text": 1, "race": 2}  # of the others: train.epochs
_CODE, _MEASURED = "code.json", "seconds of processor time.json"
_RUN = re.compile(r"^══ run \d+ of \d+: (\w+), seed (\d+)$", re.MULTILINE)


@dataclass
class Command:
    """A command, and what it leaves undisturbed.

    Attributes:
        name: in the report.
        arguments: of `tmkd-pipeline`; it writes `OUT`.
        places: where it is killed.
        epochs: of the student.
        by_stage: whether it can be ended after a stage (`--until`).
        folders: where its work may begin → a copy of `OUT` to begin with, by the records of stages and by `""` for the
            beginning, where there is nothing.
        ends: where it may end → what it has left then; `""`: at its end.
        seconds: record → processor time of the stage.
    """

    name: str
    arguments: list[str]
    places: list[Place]
    epochs: int = 0
    by_stage: bool = False
    folders: dict[str, Path | None] = field(default_factory=dict)
    ends: dict[str, Outcome] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def records(self) -> list[str]:
        """Of the stages that it is killed in, in their order."""
        return list(dict.fromkeys(place.record for place in self.places))

    def epochs_of(self, record: str) -> int:
        """How many its training has, as far as it trains."""
        return _EPOCHS.get(Path(record).stem, self.epochs)

    def end_after(self, record: str) -> str:
        """The stage after that of a record, with whose end a short round ends; `""`: the end of the command."""
        stages = list(self.ends)[1:]
        later = stages[stages.index(Path(record).stem) + 1 :] if self.by_stage else []
        return later[0] if len(later) > 1 else ""


def commands(recipe: Path, weights: Path, data: Path) -> list[Command]:
    """Two runs that between them have every stage, a comparison, an export."""

    def set_(values: dict[str, Any]) -> list[str]:
        return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]

    def stages(name: str, left_out: Sequence[str]) -> list[Place]:
        return [
            Place(name, f"stages/{stage}.json", moment)
            for stage in STAGE_NAMES
            if stage not in left_out
            for moment in (AT_RANDOM, IN_AN_EPOCH, WHILE_WRITING)
            if moment != IN_AN_EPOCH or stage in _TRAINING
        ]

    out = ["--run-dir", OUT]
    # What the two have in common is killed in the first; the race also at what follows from it.
    before_race = STAGE_NAMES[: STAGE_NAMES.index("race")]
    compared = [
        Place("compare", f"runs/{arm}/seed-{seed}/stages/{stage}.json", moment)
        for seed in _SEEDS
        for arm, stage, moment in (
            # The second run with a teacher takes that of the first over.
            ("kd", *(("teacher", IN_AN_EPOCH) if seed == _SEEDS[0] else ("validate", AT_RANDOM))),
            ("kd", "distill", AT_RANDOM),
            ("kd", "distill", IN_AN_EPOCH),
            ("ce", "distill", IN_AN_EPOCH),
            ("ce", "validate", AT_RANDOM),
        )
    ]
    return [
        Command("run", ["run", str(recipe), *out, *set_(_TMKD)], stages("run", ["race"]), 3, by_stage=True),
        Command(
            "run with a race",
            ["run", str(recipe), *out, *set_(_AUTO)],
            stages("run with a race", [*before_race, "reference", "export", "parity", "bundle"]),
            6,
            by_stage=True,
        ),
        Command(
            "compare",
            ["compare", str(recipe), "--methods", "ce,kd", "--seeds", str(len(_SEEDS)), *out, *set_(_COMPARED)],
            compared,
            3,
        ),
        Command(
            "export",
            ["export", str(weights), "--out", OUT, "--data", str(data / "test"), "--bundle"],
            [Place("export", EXPORT, moment) for moment in (AT_RANDOM, WHILE_WRITING)] * 2,
        ),
    ]


def prepared(work: Path, say: Any = print) -> list[Command]:
    """The commands with what they leave undisturbed, which stays in `work` for as long as the code is the same."""
    from tests.pipeline.conftest import make_data, write_recipe

    import_libraries()
    remember_rehearsals()
    _read_code()
    kept, code = work / "undisturbed", _code()
    if not (kept / _CODE).is_file() or read_json(kept / _CODE) != code:
        shutil.rmtree(kept, ignore_errors=True)
        write_recipe(kept / "tiny.yaml", make_data(kept / "shapes"))
        write_json(kept / _CODE, code)
    made = commands(kept / "tiny.yaml", kept / "run" / "whole" / OUT / "distill" / "chosen", kept / "shapes")
    for command in made:
        place = kept / command.name
        if not (place / _MEASURED).is_file():
            shutil.rmtree(place, ignore_errors=True)
            write_json(place / _MEASURED, _measure(command, place, say))
        _read(command, place)
        learn(place / "whole" / TOLD)
    return made


def _code() -> str:
    """Digest of all that the undisturbed commands follow from, but for the libraries."""
    digest = hashlib.sha256()
    for package in ("pipeline", "exporters", "configs", "tests/soak", "tests/pipeline/conftest.py"):
        root = REPOSITORY / package
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if path.is_file() and path.suffix not in (".pyc",):
                digest.update(
                    f"{path.relative_to(REPOSITORY)} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode()
                )
    return digest.hexdigest()


def _measure(command: Command, place: Path, say: Any) -> dict[str, float]:
    """Run a command as a whole and, where that can be, stage by stage; record → seconds of processor time."""
    seconds: dict[str, float] = {}
    whole = place / "whole"
    whole.mkdir(parents=True)
    began = time.monotonic()
    attempt = Attempt(command.arguments, whole, tells=True)
    since: dict[str, float] = {}
    while attempt.is_running():
        for record in command.records:
            path = whole / OUT / record
            if record not in since and (path.exists() if record != EXPORT else any((whole / OUT).glob(".export-*"))):
                since[record] = attempt.seconds
            if record in since and record not in seconds and record != EXPORT and _is_done(path):
                seconds[record] = attempt.seconds - since[record]
        time.sleep(0.005)
    if attempt.code != 0:
        raise SystemExit(f"{command.name} fails undisturbed:\n{(whole / LOG).read_text()}")
    if EXPORT in since:
        seconds[EXPORT] = attempt.seconds - since[EXPORT]
    say(f"{command.name}: {attempt.seconds:.1f} s of processor time undisturbed, {time.monotonic() - began:.0f} s")
    if command.by_stage:
        steps = place / "steps"
        steps.mkdir()
        learn(whole / TOLD)
        for stage in _stages_between(command, whole / OUT):
            if Attempt([*command.arguments, "--until", stage], steps).wait() != 0:
                raise SystemExit(f"{command.name} --until {stage} fails:\n{(steps / LOG).read_text()}")
            shutil.copytree(steps / OUT, place / f"after {stage}" / OUT, symlinks=True)
        if found := differences(outcome_of(steps / OUT), outcome_of(whole / OUT)):
            raise SystemExit(f"{command.name} leaves something else stage by stage: {', '.join(found)}")
    return seconds


def _read(command: Command, place: Path) -> None:
    """What `_measure` has left."""
    whole = place / "whole" / OUT
    command.seconds = read_json(place / _MEASURED)
    command.ends[""] = outcome_of(whole)
    command.folders[""] = None
    if command.by_stage:
        command.folders["stages/data.json"] = None
        stages = _stages_between(command, whole)
        for stage, following in zip(stages, [*stages[1:], ""], strict=True):
            after = place / f"after {stage}" / OUT
            command.ends[stage] = outcome_of(after)
            command.folders[f"stages/{following}.json"] = after
    else:
        for record in command.records:
            command.folders[record] = None if record == EXPORT else _before_run(whole, record, place)


def _before_run(whole: Path, record: str, place: Path) -> Path | None:
    """For a run of a comparison, its folder with the runs before; None where there is nothing before it."""
    run = Path(record).parents[1].relative_to("runs")
    order = [Path(arm) / f"seed-{seed}" for arm, seed in _RUN.findall((whole.parent / LOG).read_text())]
    before = order[: order.index(run)]
    folder = place / f"before {run.parent.name} {run.name}" / OUT
    if before and not folder.is_dir():
        for each in before:
            shutil.copytree(whole / "runs" / each, folder / "runs" / each, symlinks=True)
        shutil.copy2(whole / MARKER, folder / MARKER)
    return folder if before else None


def _stages_between(command: Command, folder: Path) -> list[str]:
    """The stages that ran, in their order, from the one before the first that is killed."""
    ran = [name for name in STAGE_NAMES if _is_done(folder / "stages" / f"{name}.json")]
    return ran[max(ran.index(Path(command.records[0]).stem) - 1, 0) :]


def _is_done(record: Path) -> bool:
    try:
        return bool(read_json(record)["status"] == "done")
    except (OSError, ValueError):
        return False


def _read_code() -> None:
    """Digest our code here, once, rather than in each attempt."""
    from pipeline.runner.fingerprint import _ROOT, _read

    for package in ("pipeline", "exporters"):
        for path in (_ROOT / package).rglob("*.py"):
            name = path.relative_to(_ROOT).with_suffix("").as_posix().replace("/", ".")
            _read(_ROOT, name.removesuffix(".__init__"))
