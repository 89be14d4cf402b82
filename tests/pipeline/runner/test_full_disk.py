"""A disk that runs full anywhere in a run: exit 4 names the file and the room, and with more room the run goes on."""

import re
import shutil
from pathlib import Path

import pytest

from tests.pipeline.conftest import Run, run_command
from tests.small_disk import small_disk

LEAST = 16_384


ALL = ("data", "teacher", "text", "fusion", "distill", "validate", "export", "parity", "bundle")


@pytest.mark.parametrize(
    "stages", [ALL[:2], pytest.param(ALL, marks=pytest.mark.slow)], ids=["two stages", "all stages"]
)
def test_run_finishes_once_the_disk_has_room(stages: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    stopped: list[str] = []
    with small_disk(tmp_path / "disk", LEAST) as disk:
        directory = disk.path / "run"
        for stage in stages:
            room = LEAST
            for _attempt in range(100):
                # No more room than each file needs, so that every one of them meets a full disk.
                disk.resize(shutil.disk_usage(disk.path).used + room)
                outcome = run_command("run", run.recipe, "--run-dir", directory, "--until", stage)
                if outcome.code == 0:
                    break
                assert outcome.code == 4, outcome.err
                found = re.search(
                    rf"{disk.path}/(\S+): cannot be written: the disk is full \([\d.]+ MB are free", outcome.err
                )
                assert found, outcome.err
                assert not list(disk.path.rglob(".*.tmp*")), "a half-written file"
                room = 2 * room if stopped[-1:] == [found[1]] else LEAST
                stopped.append(found[1])
            assert outcome.code == 0
        if stages == ALL:
            assert run_command("verify", directory / "bundle").code == 0
    places = {place.split("/")[1] for place in stopped if "/" in place}
    assert places >= set(stages) - {"fusion", "validate"}, stopped  # these two write less than the least
