"""Mutation testing: small faults are put into the code, one after another, and some test must fail for each.

    make mutation PART=losses
    make mutation PART=pipeline/tmkd/fusion.py

PART is a part of `settings.py` or one of its files; without it, all parts. Each source file is tried against its
mirrored tests, with mutmut, in `build/mutation`; what has been found is kept there, so that the same command goes on
where it was, and after a change tries only what it may have changed. Survivors are written to a file, as they are to
be listed in `equivalent/` if no test can kill them. Exit 1 below the least score, 2 if the tests themselves fail.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.core.locks import held
from tests.mutation.outcomes import Outcome, outcome_of
from tests.mutation.settings import LEAST_SCORE, PARTS, REPOSITORY, Part
from tests.mutation.workplace import WORK, environment, make, tests_of


def files_of(part: Part) -> list[str]:
    """The source files of a part that have tests, relative to the repository."""
    found = {path for pattern in part.files for path in REPOSITORY.glob(pattern)}
    named = sorted(str(path.relative_to(REPOSITORY)) for path in found)
    return [source for source in named if tests_of(part, source)]


def asked_for(name: str | None) -> Iterator[tuple[str, Part, list[str]]]:
    """Title, part and files for a part, a file of one, or all parts."""
    if name is None or name in PARTS:
        for title in PARTS if name is None else [name]:
            yield title, PARTS[title], files_of(PARTS[title])
        return
    owners = [part for part in PARTS.values() if name in files_of(part)]
    if not owners:
        raise SystemExit(f"no part and no file of one: {name}; parts are {', '.join(PARTS)}")
    yield name, owners[0], [name]


def mutate(part: Part, source: str) -> Outcome:
    """Run mutmut on one file, unless all is known, and return what became of its mutants."""

    def refusal(process: str) -> UnavailableError:
        return UnavailableError(f"{source} is being mutated by process {process}", remedy="Wait for it to end.")

    try:
        with held(WORK / f"{source}.lock", refusal):
            return _mutate(part, source)
    except UnavailableError as error:
        raise SystemExit(str(error)) from error


def _mutate(part: Part, source: str) -> Outcome:
    if not make(part, source):
        return outcome_of(source)
    log = WORK / source / "log.txt"
    with log.open("wb") as out:
        command = [str(Path(sys.executable).parent / "mutmut"), "run", "--max-children=1"]
        ended = subprocess.run(command, cwd=WORK / source, env=environment(), stdout=out, stderr=out, check=False)
    outcome = outcome_of(source)
    if ended.returncode and outcome.undecided:
        tail = log.read_text(errors="replace").replace("\r", "\n").splitlines()[-40:]
        print(*tail, sep="\n", file=sys.stderr)
        raise SystemExit(f"{source}: mutmut ended with {ended.returncode}; its whole output is in {log}")
    return outcome


def main() -> int:
    """Mutate what is asked for and tell the scores."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="?", help="a part, or a file of one; without it, all parts")
    options = parser.parse_args()
    os.nice(10)
    enough = True
    for title, part, sources in asked_for(options.part):
        total = Outcome(0, (), 0, 0)
        survivors = WORK / f"{title.replace('/', '-')}.survivors.yaml"
        lines = []
        for source in sources:
            outcome = mutate(part, source)
            print(f"{source}: {outcome}", flush=True)
            for change in outcome.needless:
                print(f"  listed as equivalent and no survivor: {change}")
            lines += _listed(source, outcome)
            survivors.write_text("".join(lines), encoding="utf-8")
            total += outcome
        print(f"{title}: {total} (at least {LEAST_SCORE} %); survivors: {survivors.relative_to(REPOSITORY)}")
        enough = enough and total.score_without_equivalent >= LEAST_SCORE
    return 0 if enough else 1


def _listed(source: str, outcome: Outcome) -> list[str]:
    """The survivors as entries of the list of equivalent mutants, without their reasons."""
    quoted = [
        [f"{key}: {json.dumps(text, ensure_ascii=False)}" for key, text in vars(change).items()]
        for change in outcome.survivors
    ]
    entries = [f"  - {function}\n    {line}\n    {mutant}\n" for function, line, mutant in quoted]
    return [f"{source}:\n", *entries] if entries else []
