"""Which of several processes this one is, from the variables that torchrun or Slurm's srun sets. No torch here."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from exporters.core.errors import UsageError

LAUNCHED = "TMKD_LAUNCHED"
"""Environment variable of processes that `pipeline.distributed.launch` started: it reports how they end."""


@dataclass(frozen=True)
class Rank:
    """A process among those that train together.

    Attributes:
        number: from 0; process 0 leads: it alone writes files, prints and decides.
        count: of all processes.
        local: number among those on the same machine, which is the number of its GPU.
        local_count: of those on the same machine.
    """

    number: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is process 0."""
        return self.number == 0

    def describe(self) -> str:
        """For people, counted from 1: `process 2 of 4`."""
        return f"process {self.number + 1} of {self.count}"


def this_rank(variables: Mapping[str, str] | None = None) -> Rank:
    """This process's place, from `RANK` and `WORLD_SIZE` or from Slurm's variables; alone where there are neither.

    `LOCAL_RANK` and `LOCAL_WORLD_SIZE` default to one machine's: all processes are on this one.

    Args:
        variables: the environment; None: that of this process.

    Raises:
        UsageError: a variable is missing or is no number that it can be; names it.
    """
    found = os.environ if variables is None else variables
    if "RANK" not in found and "WORLD_SIZE" not in found:
        found = slurm_variables(found)
        if not found:
            return Rank()
    count = number_in(found, "WORLD_SIZE", least=1)
    number = number_in(found, "RANK", below=count)
    local_count = number_in(found, "LOCAL_WORLD_SIZE", least=1, default=count)
    return Rank(
        number, count, number_in(found, "LOCAL_RANK", below=local_count, default=number % local_count), local_count
    )


def is_one_of_several() -> bool:
    """Whether torchrun or Slurm has started this process as one of several."""
    return this_rank().count > 1


def slurm_variables(found: Mapping[str, str]) -> dict[str, str]:
    """PyTorch's variables from those of a Slurm step; empty outside one, and for a step of one task.

    Only `srun` sets `SLURM_STEP_NUM_TASKS`: what a batch script starts without it is one process.

    Args:
        found: the environment.

    Raises:
        UsageError: a variable of the step is no number, or names no machine.
    """
    if "SLURM_STEP_NUM_TASKS" not in found or number_in(found, "SLURM_STEP_NUM_TASKS", least=1) == 1:
        return {}
    here = re.match(r"\d+", found.get("SLURM_STEP_TASKS_PER_NODE", ""))
    nodes = number_in(found, "SLURM_STEP_NUM_NODES", least=1, default=1)
    tasks = number_in(found, "SLURM_STEP_NUM_TASKS", least=1)
    return {
        "RANK": str(number_in(found, "SLURM_PROCID", below=tasks)),
        "WORLD_SIZE": str(tasks),
        "LOCAL_RANK": str(number_in(found, "SLURM_LOCALID", below=tasks)),
        "LOCAL_WORLD_SIZE": here.group() if here is not None else str(-(-tasks // nodes)),
        "MASTER_ADDR": found.get("MASTER_ADDR") or first_host(found.get("SLURM_STEP_NODELIST", "")),
        "MASTER_PORT": found.get("MASTER_PORT")
        or str(20_000 + number_in(found, "SLURM_JOB_ID", least=0, default=0) % 20_000),
    }


def first_host(nodes: str) -> str:
    """The first machine of a Slurm node list: `gpu[03-05,9],big1` → `gpu03`.

    Raises:
        UsageError: the list is empty.
    """
    found = re.match(r"([^,\[]+)(?:\[(\w+)[^\]]*\])?([^,\[]*)", nodes.strip())
    if found is None:
        raise UsageError(f"SLURM_STEP_NODELIST: expected the machines of the step, got {nodes!r}")
    return "".join(part or "" for part in found.groups())


def number_in(
    found: Mapping[str, str], name: str, *, least: int = 0, below: int | None = None, default: int | None = None
) -> int:
    """An environment variable that is a number.

    Args:
        found: the environment.
        name: of the variable.
        least: what it may be at least.
        below: what it must be less than.
        default: its value where it is not there; None: it must be.

    Raises:
        UsageError: it is missing, or no such number.
    """
    text = found.get(name)
    if text is None and default is not None:
        return default
    value = int(text) if text is not None and re.fullmatch(r"\d{1,9}", text.strip()) else None
    if value is None or value < least or (below is not None and value >= below):
        expected = f"a number from {least}" + (f" to {below - 1}" if below is not None else "")
        raise UsageError(
            f"environment variable {name}: expected {expected}, got {'nothing' if text is None else repr(text[:80])}",
            remedy="torchrun and srun set it; by hand, set RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR"
            " and MASTER_PORT in each process.",
        )
    return value
