"""The trials of a search, held by Optuna in one journal file that several processes write to in turn.

A trial is one training in one rung. Its process holds a lock file as long as it works; the system frees it when the
process dies, so that a trial of a killed process is known, closed, and taken up again by whoever looks next.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.core.errors import GateError, TmkdError, UnavailableError
from exporters.core.locks import held, is_held
from pipeline.search.space import Asked, Training

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import JournalStorage
    from optuna.trial import FrozenTrial, Trial

JOURNAL, LOCKS = "journal.log", "locks"
_FIGURES = "figures"
_POLL = 0.2  # seconds
_MESSAGE, _FILES, _TEST = "message", "files", "test_top1"


@dataclass(frozen=True)
class Result:
    """How a training in a rung ended.

    Attributes:
        top1: accuracy on validation, in [0, 1]; None where it failed.
        message: why it failed.
        files: precision → what is known of the file; of the last rung.
        test_top1: accuracy on the test split, which decides nothing; of the last rung.
    """

    top1: float | None
    message: str = ""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    test_top1: float | None = None


Done = dict[tuple[Training, int], Result]
"""Training and epochs of the rung → how it ended."""


def require_optuna() -> None:
    """Refuse, by UnavailableError, to go on without Optuna; nothing is imported."""
    if find_spec("optuna") is None:
        raise UnavailableError(
            "search: Optuna, which keeps the trials, is not installed here",
            remedy="pip install 'tmkd-pipeline[search]'",
        )


class _Busy(TmkdError):
    """Another process holds the lock."""


@contextmanager
def in_turn(lock: Path, waits: Callable[[str], None] = lambda _process: None) -> Iterator[None]:
    """Hold a lock file, after whoever holds it now.

    Args:
        lock: the file, which stays.
        waits: called once with the id of the process that is waited for.
    """
    told = False
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(held(lock, _Busy, lasting=True))
                break
            except _Busy as busy:
                if not told:
                    waits(busy.message)
                    told = True
                time.sleep(_POLL)
        yield


@dataclass
class Claim:
    """A trial that this process works on."""

    training: Training
    epochs: int
    _study: "Study"
    _trial: "Trial"

    def finish(self, result: Result) -> None:
        """Write how it ended; a failed one is a result like any other, and is not tried again."""
        from optuna.trial import TrialState

        self._trial.set_user_attr(_FILES, {name: dict(file) for name, file in result.files.items()})
        self._trial.set_user_attr(_TEST, result.test_top1)
        if result.top1 is None:
            self._trial.set_user_attr(_MESSAGE, result.message or "failed")
            self._study.tell(self._trial, state=TrialState.FAIL)
        else:
            self._study.tell(self._trial, result.top1)


class Journal:
    """The trials of a search folder.

    Args:
        folder: of the search.
        asked: what is searched; other questions in the same folder have trials of their own.
    """

    def __init__(self, folder: Path, asked: Asked) -> None:
        self._folder, self._asked = folder, asked
        self._choices: dict[str, list[Any]] = {
            "student": list(asked.students),
            "method": list(asked.methods),
            "epochs": list(asked.lengths),
        }

    def done(self) -> Done:
        """What has ended, well or not, by now."""
        with _quiet_optuna():
            return _done(self._study())

    @contextmanager
    def claim(self, choose: Callable[[Done], Sequence[tuple[Training, int]]]) -> Iterator[Claim | None]:
        """Take the first trial that nobody works on, for the block; None where others work on all that is left.

        Args:
            choose: gives the trials that are to be done next, from those that ended.
        """
        with ExitStack() as stack, _quiet_optuna():
            with in_turn(self._folder / LOCKS / "claims.lock"):
                study = self._study()
                self._close_dead(study)
                working = {_task(trial) for trial in study.get_trials(deepcopy=False) if trial.state.name == "RUNNING"}
                left = [task for task in choose(_done(study)) if task not in working]
                claim = self._start(study, *left[0]) if left else None
                if claim is not None:
                    lock = self._folder / LOCKS / f"{self._asked.identity}-{claim._trial.number}.lock"
                    stack.enter_context(held(lock, _Busy))
            yield claim

    def latency(self, key: str, measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Figures that are measured once in a search folder, and then remembered.

        Args:
            key: what was measured.
            measure: gives plain JSON values.
        """
        with _quiet_optuna(), in_turn(self._folder / LOCKS / "measuring.lock"):
            study = _open(self._storage(), _FIGURES)
            known: dict[str, Any] | None = study.user_attrs.get(key)
            if known is None:
                known = dict(measure())
                study.set_user_attr(key, known)
            return known

    def _start(self, study: "Study", training: Training, epochs: int) -> Claim:
        from optuna.distributions import CategoricalDistribution
        from optuna.trial import TrialState

        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not waiting:  # else a process was killed between the two calls
            study.enqueue_trial({"student": training.student, "method": training.method, "epochs": epochs})
        trial = study.ask({name: CategoricalDistribution(values) for name, values in self._choices.items()})
        found = trial.params
        return Claim(Training(found["student"], found["method"]), found["epochs"], study, trial)

    def _close_dead(self, study: "Study") -> None:
        """Trials whose process is gone are failed without a message, which is no result."""
        from optuna.trial import TrialState

        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not is_held(self._folder / LOCKS / f"{self._asked.identity}-{trial.number}.lock"):
                study.tell(trial.number, state=TrialState.FAIL)

    def _study(self) -> "Study":
        return _open(self._storage(), self._asked.identity)

    def _storage(self) -> "JournalStorage":
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        path = self._folder / JOURNAL
        path.parent.mkdir(parents=True, exist_ok=True)
        lock: Any = _JournalLock(path)  # Optuna asks for two methods
        with in_turn(self._folder / LOCKS / "journal.lock"):
            lock.mend()
        try:
            return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        except (ValueError, KeyError, TypeError) as error:
            raise GateError(
                f"{path} cannot be read: {type(error).__name__}: {error}",
                remedy="Remove it; finished trainings are kept in the folders beside it, and latencies measured again.",
            ) from error


class _JournalLock:
    """The lock of Optuna's journal: freed by the system with its process, and never by the time that has passed."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._stack = ExitStack()

    def acquire(self) -> bool:
        """Wait for it."""
        self._stack.enter_context(in_turn(self._journal.parent / LOCKS / "journal.lock"))
        self.mend()
        return True

    def release(self) -> None:
        """Free it."""
        self._stack.close()

    def mend(self) -> None:
        """Cut off the half line of a process that was killed while it wrote; what is written after it would be lost."""
        if not self._journal.is_file():
            return
        with self._journal.open("rb+") as stream:
            content = stream.read()
            if content and not content.endswith(b"\n"):
                stream.truncate(content.rfind(b"\n") + 1)
                stream.flush()
                os.fsync(stream.fileno())


def _open(storage: "JournalStorage", name: str) -> "Study":
    import optuna

    return optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(seed=0),  # asked nothing: every trial is given
    )


def _task(trial: "FrozenTrial") -> tuple[Training, int]:
    values = trial.params
    return Training(values["student"], values["method"]), values["epochs"]


def _done(study: "Study") -> Done:
    found: Done = {}
    for trial in study.get_trials(deepcopy=False):
        attributes = trial.user_attrs
        ended = trial.state.name == "COMPLETE" or (trial.state.name == "FAIL" and _MESSAGE in attributes)
        if ended:
            found[_task(trial)] = Result(
                trial.value, attributes.get(_MESSAGE, ""), attributes.get(_FILES, {}), attributes.get(_TEST)
            )
    return found


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Optuna reports each study and trial at INFO; what a person should see, the console says."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)
