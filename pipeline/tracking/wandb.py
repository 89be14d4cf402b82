"""Weights & Biases: files that `wandb sync` sends, or its server."""

import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from shlex import quote
from typing import Any

from exporters.core.process_state import environment, quiet
from pipeline.tracking.interface import Epoch, Results, TrackedRun, Tracker
from pipeline.tracking.names import figure_name, project_name

_LONGEST_TAG = 64
_LONGEST_WAIT = 60
"""Seconds that the server is waited for, at the beginning and at the end."""
_FLUSHED_EVERY = 0.05
"""Seconds between writes of the library's process, which ends without one where this process is killed."""
_BLOCK, _HEADER = 32768, 7
"""Bytes of a block of its files, and of the header that stands at its beginning."""
_SUCCEEDED = ("running", "shipped", "finished")


class Wandb(Tracker):
    """Figures by epoch, the recipe as the run's config, files in its folder of files."""

    def __init__(self, run: TrackedRun) -> None:
        super().__init__(run)
        self._mode = run.settings.wandb.mode or os.environ.get("WANDB_MODE") or "offline"
        self._run: Any = None
        self._drawn: set[str] = set()

    @property
    def off(self) -> bool:
        """Whether WANDB_MODE switches the library off."""
        return self._mode == "disabled"

    @property
    def place(self) -> str:
        """The folder or the account, and the project."""
        where = str(self.run.directory) if self._mode == "offline" else self.run.settings.wandb.entity or "the account"
        return f"{where} {self.run.project}"

    @property
    def hint(self) -> str:
        """How files are sent, or where the run is."""
        if self._mode == "offline":
            return f"wandb sync --append {quote(str(self.run.directory / 'wandb'))}/offline-run-*"
        return f"project {project_name(self.run.project)}"

    def open(self, known: str | None) -> str:
        """Begin a run, or go on with one: offline by further files for the same run.

        Raises:
            RuntimeError: the server is to be sent figures, and no account is known.
        """
        folder = self.run.directory / "wandb"
        if self._mode == "offline" and known is not None and not any(folder.glob(f"*-{known}")):
            known = None
        self.run.directory.mkdir(parents=True, exist_ok=True)
        with _calm():
            import wandb

            if self._mode == "online" and not wandb.login(prompt=False, verify=False):
                raise RuntimeError("no account is known: set WANDB_API_KEY, or type `wandb login`")
            settings = wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                disable_job_creation=True,
                save_code=False,
                init_timeout=_LONGEST_WAIT,
                finish_timeout=_LONGEST_WAIT,
                finish_timeout_raises=True,
                reinit="create_new",
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
                x_transaction_log_flush_interval=_FLUSHED_EVERY,
            )
            self._run = wandb.init(
                id=known or secrets.token_hex(4),
                project=project_name(self.run.project)[:128],
                entity=self.run.settings.wandb.entity,
                name=self.run.name,
                group=self.run.settings.group,
                tags=[f"{key}:{value}"[:_LONGEST_TAG] for key, value in self.run.tags.items()],
                config={"recipe": dict(self.run.parameters), **self.run.tags},
                dir=str(self.run.directory),
                mode=self._mode,  # type: ignore[arg-type]
                # Offline, the server cannot be asked for the run; its id is enough.
                resume=None if self._mode == "offline" else "allow",
                settings=settings,
            )
        return str(self._run.id)

    def has(self, epoch: Epoch) -> bool:
        """Offline, whether one of the run's files has it; the server passes over a step that it has already."""
        if self._mode != "offline":
            return False
        from wandb.proto.wandb_internal_pb2 import HistoryItem  # type: ignore[attr-defined]

        item = HistoryItem(nested_key=[_axis(epoch)], value_json=str(epoch.number)).SerializeToString()
        files = (self.run.directory / "wandb").glob(f"*-{self._run.id}/*.wandb")
        return any(item in _joined(path.read_bytes()) for path in files)

    def send(self, epochs: Sequence[Epoch], first: int) -> None:
        """Log each epoch at its number among all; figures of a training are drawn over its own epochs.

        Raises:
            RuntimeError: offline, the library's process does not bring them to the disk.
        """
        with _calm():
            for step, epoch in enumerate(epochs, first):
                axis = _axis(epoch)
                for name in sorted({*epoch.values} - self._drawn):
                    self._run.define_metric(name, step_metric=axis)
                self._drawn |= {*epoch.values}
                self._run.log({**epoch.values, axis: epoch.number}, step=step, commit=True)
            end = time.monotonic() + _LONGEST_WAIT
            while self._mode == "offline" and not self.has(epochs[-1]):
                if time.monotonic() > end:
                    raise RuntimeError(f"nothing was written to {self._run.dir} for {_LONGEST_WAIT} s")
                time.sleep(_FLUSHED_EVERY)

    def finish(self, results: Results) -> None:
        """Write final figures below `final/` into the summary, and copy files into the run's."""
        with _calm():
            self._run.summary.update({f"final/{name}": value for name, value in results.values.items()})
            self._run.summary.update({"state": results.state, "message": results.message})
            for name, path in results.files.items():
                copy = shutil.copyfile(path, os.path.join(self._run.dir, name))  # noqa: PTH118
                self._run.save(copy, base_path=self._run.dir, policy="now", glob=False)
            self._end(0 if results.state in _SUCCEEDED else 1)

    def close(self) -> None:
        """End the connection, where `finish` has not."""
        with _calm():
            self._end(1)

    def _end(self, code: int) -> None:
        if self._run is not None:
            run, self._run = self._run, None
            run.finish(exit_code=code)


def _axis(epoch: Epoch) -> str:
    """The figure that those of a training are drawn over."""
    return figure_name(epoch.training, "epoch")


def _joined(data: bytes) -> bytes:
    """What a file holds, without the headers that may stand within a record."""
    return b"".join(data[begin + _HEADER : begin + _BLOCK] for begin in range(0, len(data), _BLOCK))


@contextmanager
def _calm() -> Iterator[None]:
    """A block in which the library prints nothing, reports no errors of its own, and leaves the process as it is."""
    hooks, leave = sys.excepthook, sys.exit
    try:
        with quiet(), environment("WANDB_SILENT", "true"), environment("WANDB_ERROR_REPORTING", "false"):
            yield
    finally:
        sys.excepthook = hooks
        sys.exit = leave  # type: ignore[assignment]
