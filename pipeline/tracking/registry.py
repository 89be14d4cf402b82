"""The trackers by name. A new one is a file in this folder and an entry here."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from exporters.core.errors import UnavailableError
from pipeline.tracking.interface import TrackedRun, Tracker


@dataclass(frozen=True)
class TrackerEntry:
    """A tracker that is imported when it is used.

    Attributes:
        module: `"module:class"`.
        packages: modules that it imports.
        extra: of the package that brings them.
    """

    module: str
    packages: tuple[str, ...]
    extra: str


TRACKERS = {
    "tensorboard": TrackerEntry("pipeline.tracking.tensorboard:TensorBoard", ("tensorboard",), "tensorboard"),
    "mlflow": TrackerEntry("pipeline.tracking.mlflow:Mlflow", ("mlflow", "sqlalchemy", "alembic"), "mlflow"),
    "wandb": TrackerEntry("pipeline.tracking.wandb:Wandb", ("wandb",), "wandb"),
}


def require_installed(names: Iterable[str]) -> None:
    """Refuse trackers whose packages are not here; nothing is imported.

    Raises:
        UnavailableError: names each of them, and the extra that brings them.
    """
    missing = {name: [package for package in TRACKERS[name].packages if find_spec(package) is None] for name in names}
    lacking = {name: packages for name, packages in missing.items() if packages}
    if not lacking:
        return
    extras = ",".join(TRACKERS[name].extra for name in lacking)
    told = "; ".join(f"{name} needs {', '.join(packages)}, not installed here" for name, packages in lacking.items())
    raise UnavailableError(
        f"track.to: {told}", remedy=f"pip install 'tmkd-pipeline[{extras}]', or leave the tracker out."
    )


def make_tracker(name: str, run: TrackedRun) -> Tracker:
    """The tracker of a name, not opened."""
    module, _, attribute = TRACKERS[name].module.partition(":")
    tracker = getattr(import_module(module), attribute)(run)
    assert isinstance(tracker, Tracker)
    return tracker
