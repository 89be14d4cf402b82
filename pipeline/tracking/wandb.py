"""Weights & Biases: files that `wandb sync` sends, or its server."""

import os
import secrets
import shutil
import sys
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
        """Its own process writes what it was given, also where this one was killed."""
        return True

    def send(self, epochs: Sequence[Epoch], first: int) -> None:
        """Log each epoch at its number among all; figures of a training are drawn over its own epochs."""
        with _calm():
            for step, epoch in enumerate(epochs, first):
                axis = figure_name(epoch.training, "epoch")
                for name in sorted({*epoch.values} - self._drawn):
                    self._run.define_metric(name, step_metric=axis)
                self._drawn |= {*epoch.values}
                self._run.log({**epoch.values, axis: epoch.number}, step=step, commit=True)

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
