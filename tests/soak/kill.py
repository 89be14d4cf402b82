"""Commands that are killed at chosen places, again and again, and must end as if nothing had happened.

    python -m tests.soak.kill --rounds 200 --json kill.json

There are four commands: two runs that between them have every stage, with worker processes, a teacher cache and a
state that is saved after each step; a comparison; an export with its bundle. Each round takes the next place of all
that there are: a stage, and a kind of moment in it, which is a random one, one within an epoch, or one in which a file
is being written, as in packing. The command is ended by SIGKILL there, with all its processes, and a second time in
half of the rounds. What the kill has left says whether it came at that place, else it is tried again. After each kill,
every file under a final name must be whole. At last the command may go on, and what it leaves is compared with what the
undisturbed command has left: bit for bit, but for what tells time.

Every fifth round begins with nothing and ends at the end of its command. The others begin with a copy of what the
undisturbed command had left before that stage, and end after the stage that follows, if the command is a run.

With --json, the figures are kept after each round; the same command goes on from there. With --work, so is what the
undisturbed commands leave, for as long as the code is the same. Exit 1 if anything is not as it should be. Linux.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
if __name__ == "__main__" and not __package__:
    sys.path.insert(0, str(REPOSITORY))  # run as a script

from exporters.core.files import read_json, write_json  # noqa: E402
from tests.soak.attempts import LOG, Attempt  # noqa: E402
from tests.soak.outcomes import damages, differences, outcome_of  # noqa: E402
from tests.soak.places import Place, aim, found, is_done, kill_at  # noqa: E402
from tests.soak.undisturbed import OUT, Command, prepared  # noqa: E402

_WHOLE = 5
"""Every so many rounds, one from the beginning of its command to its end."""
_TRIES = 5
_MOST_PLACES = 4


class Round:
    """A command that is killed at some places, goes on to its end, and is compared.

    Args:
        command: which.
        places: where, in the order of its stages.
        folder: to work in; it is made.
        whole: from the beginning to the end of the command.
        draws: source of randomness.
    """

    def __init__(
        self, command: Command, places: Sequence[Place], folder: Path, draws: random.Random, *, whole: bool
    ) -> None:
        self._command, self._places, self._folder, self._draws = command, places, folder, draws
        self._begin = "" if whole else places[0].record
        self._end = "" if whole else command.end_after(places[-1].record)
        self._arguments = [*command.arguments, *(["--until", self._end] if self._end else [])]
        self._kills: list[dict[str, Any]] = []
        self._wrong: list[str] = []

    def play(self) -> dict[str, Any]:
        """Do all of this.

        Returns:
            `kills`: where each was aimed, whether it `hit`, and what it left; `wrong`: what is not as it should be.
        """
        self._start_over()
        for number, place in enumerate(self._places):
            self._kill(place, may_start_over=number == 0)
        with self._attempt() as attempt:
            code = attempt.wait()
        if code != 0:
            self._wrong.append(f"exit {code}: {(self._folder / LOG).read_text()[-2000:]}")
        else:
            left = outcome_of(self._folder / OUT)
            self._wrong += [f"{name} differs" for name in differences(left, self._command.ends[self._end])]
        return {
            "command": self._command.name,
            "from": self._begin,
            "until": self._end,
            "kills": self._kills,
            "wrong": self._wrong,
        }

    def _start_over(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        before = self._command.folders[self._begin]
        if before is not None:
            shutil.copytree(before, self._folder / OUT, symlinks=True)

    def _attempt(self) -> Attempt:
        return Attempt(self._arguments, self._folder)

    def _kill(self, place: Place, *, may_start_over: bool) -> None:
        """Kill it there, in some tries; each leaves what it leaves."""
        command, out = self._command, self._folder / OUT
        for number in range(_TRIES):
            if is_done(place, out):
                if not may_start_over:
                    return
                self._start_over()
            seconds = command.seconds.get(place.record, 1.0)
            aimed = aim(place, seconds, command.epochs_of(place.record), self._draws, soon=number > 0)
            with self._attempt() as attempt:
                killed = kill_at(aimed, attempt, out)
            if not killed:
                if attempt.code != 0:
                    self._wrong.append(f"exit {attempt.code}: {(self._folder / LOG).read_text()[-2000:]}")
                continue
            left = found(place, out)
            self._kills.append({"place": str(place), "hit": left is not None} | (left or {}))
            self._wrong += damages(out)
            if left is not None:
                return


def drawn_places(made: Sequence[Command], number: int, draws: random.Random) -> tuple[Command, list[Place]]:
    """The command of a round, and where it is killed: the next place of all, and others."""
    every = [(command, place) for command in made for place in command.places]
    # With a step that has no divisor in common with their number, the commands take turns.
    command, place = every[number * _step(len(every)) % len(every)]
    if number % _WHOLE == 0:
        others = draws.sample(command.places, min(draws.randrange(_MOST_PLACES), len(command.places)))
    elif draws.random() < 0.5:
        others = [each for each in command.places if each.record == place.record]
        others = [draws.choice(others)]
    else:
        others = []
    chosen = [place, *others]
    return command, sorted(chosen, key=lambda each: command.records.index(each.record))


def _step(count: int) -> int:
    """Near to a third of `count`, and without a common divisor."""
    return next(step for step in range(count // 3 + 1, count + 2) if _is_coprime(step, count))


def _is_coprime(one: int, other: int) -> bool:
    while other:
        one, other = other, one % other
    return one == 1


def summary(seed: int, rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of a series."""
    kills = [kill for each in rounds for kill in each["kills"]]
    return {
        "seed": seed,
        "rounds": len(rounds),
        "whole_rounds": sum(each["from"] == each["until"] == "" for each in rounds),
        "rounds_by_commit": dict(Counter(each["commit"] for each in rounds)),
        "kills": len(kills),
        "kills_elsewhere": sum(not kill["hit"] for kill in kills),
        "kills_in_an_epoch": sum("step" in kill for kill in kills),
        "kills_by_place": dict(sorted(Counter(kill["place"] for kill in kills if kill["hit"]).items())),
        "seconds_of_processor_time": round(sum(each["seconds"] for each in rounds), 1),
        "wrong": [each for each in rounds if each["wrong"]],
    }


def soak(rounds: range, seed: int, work: Path, kept: Path | None) -> dict[str, Any]:
    """All of these rounds that `kept` does not have; the folders of those that went wrong stay in `work`."""
    played = _played(kept, seed)
    left = [number for number in rounds if number not in played]
    if left:
        made = prepared(work, lambda line: print(line, file=sys.stderr, flush=True))
        commit = _commit()
    for number in left:
        draws = random.Random(f"{seed} {number}")
        command, places = drawn_places(made, number, draws)
        folder = work / f"round {number}"
        before = _seconds()
        result = Round(command, places, folder, draws, whole=number % _WHOLE == 0).play()
        result |= {"round": number, "commit": commit, "seconds": round(_seconds() - before, 1)}
        played[number] = result
        print(f"round {number} of {rounds.stop - 1}: {json.dumps(result)}", file=sys.stderr, flush=True)
        if not result["wrong"]:
            shutil.rmtree(folder)
        if kept is not None:
            write_json(kept, summary(seed, list(played.values())) | {"played": list(played.values())})
    return summary(seed, list(played.values()))


def _played(kept: Path | None, seed: int) -> dict[int, dict[str, Any]]:
    """The rounds of an earlier call with the same seed, by number."""
    if kept is None or not kept.is_file():
        return {}
    earlier = read_json(kept)
    if earlier["seed"] != seed:
        raise SystemExit(f"{kept} is of seed {earlier['seed']}: name another file")
    return {each["round"]: each for each in earlier["played"]}


def _seconds() -> float:
    """Of processor time, of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _commit() -> str:
    """The commit, with a mark where the files are not as in it."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude", "*"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main(arguments: list[str] | None = None) -> None:
    """Soak, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="of all calls together")
    parser.add_argument(
        "--first", type=int, default=1, help="the first of them to play; each process needs its own files"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there, and go on from them")
    options = parser.parse_args(arguments)
    # Bits follow from the number of threads; pages are drawn from files that are compared, and no file has an estimate.
    os.environ |= {"OMP_NUM_THREADS": "1", "CI": "1", "TMKD_REPORT": "0", "TMKD_ESTIMATE": "0"}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = options.work or Path(tempfile.mkdtemp(prefix="kill-"))
    work.mkdir(parents=True, exist_ok=True)
    result = soak(range(options.first, options.rounds + 1), options.seed, work.resolve(), options.json)
    print(json.dumps(result, indent=2))
    if not result["wrong"] and options.work is None:
        shutil.rmtree(work)
    sys.exit(1 if result["wrong"] else 0)


if __name__ == "__main__":
    main()
