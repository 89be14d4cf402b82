"""Drift as a server reports it: metrics, and a line in the log when an alarm begins or ends."""

import logging
from collections.abc import Callable, Collection

from exporters.drift import LEAST_IMAGES, Look
from exporters.serving.model import LoadedBundle

logger = logging.getLogger(__name__)


class DriftReports:
    """Called after each look at the window of one bundle.

    Args:
        observe: given the look, and the statistics whose alarm is new.
        version: of the bundle, for the log.
    """

    def __init__(self, observe: Callable[[Look, Collection[str]], None], version: str) -> None:
        self._observe = observe
        self._version = version
        self._alarms: frozenset[str] = frozenset()

    def __call__(self, look: Look) -> None:
        """Report what a look found."""
        alarms = frozenset(name for name, alarm in look.alarms.items() if alarm)
        began, ended = sorted(alarms - self._alarms), sorted(self._alarms - alarms)
        self._alarms = alarms
        self._observe(look, began)
        for name in began:
            found = look.comparisons[name]
            extra = {
                "event": "drift",
                "statistic": name,
                "version": self._version,
                "psi": round(found.psi, 4),
                "p_value": found.p_value,
                "seen": look.seen,
            }
            logger.warning("drift: %s differs from validation, PSI %.2f", name, found.psi, extra=extra)
        for name in ended:
            extra = {"event": "drift", "statistic": name, "version": self._version, "seen": look.seen}
            logger.info("drift: %s is like validation again", name, extra=extra)


def unwatched(bundle: LoadedBundle) -> str:
    """Why nothing is watched, for a client."""
    if bundle.drift is not None:
        return "drift is not watched: the server was started with --drift-window 0"
    return (
        "drift is not watched: the bundle has no drift.json; a run with bundle.drift: true and"
        f" {LEAST_IMAGES} validation images or more packs one"
    )
