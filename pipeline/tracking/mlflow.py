"""MLflow: a database in the run directory, or a server."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from shlex import quote
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from exporters.core.process_state import environment, quiet
from pipeline.tracking.interface import Epoch, Results, State, TrackedRun, Tracker

_STATUS: Mapping[State, str] = {
    "running": "RUNNING",
    "shipped": "FINISHED",
    "finished": "FINISHED",
    "refused": "FAILED",
    "failed": "FAILED",
    "unfinished": "KILLED",
}
_DATABASE = "mlflow.db"
_MOST_METRICS, _MOST_PARAMETERS = 1000, 100
"""That one request may have."""
_LONGEST_VALUE, _LONGEST_KEY = 6000, 250
"""Letters."""
_GONE = "RESOURCE_DOES_NOT_EXIST"


class Mlflow(Tracker):
    """Metrics whose step is the epoch, the recipe as parameters, files as artifacts."""

    def __init__(self, run: TrackedRun) -> None:
        super().__init__(run)
        given = run.settings.mlflow.uri or os.environ.get("MLFLOW_TRACKING_URI") or None
        self._own = given is None
        database = (run.directory / _DATABASE).absolute()
        self._uri = f"sqlite:///{database}" if given is None else given
        self._client: Any = None
        self._id = ""

    @property
    def place(self) -> str:
        """The address, without a password, and the experiment."""
        return f"{_without_password(self._uri)} {self.run.project}"

    @property
    def hint(self) -> str:
        """The command that shows a database, or the server."""
        address = _without_password(self._uri)
        return address if "://" in address and not self._own else f"mlflow ui --backend-store-uri {quote(address)}"

    def open(self, known: str | None) -> str:
        """Begin a run in the experiment, or go on with one that the server still has."""
        with _calm():
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            if self._own:
                self.run.directory.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(tracking_uri=self._uri)
            if known is not None:
                try:
                    found = self._client.get_run(known)
                    if found.info.lifecycle_stage == "active":
                        self._id = known
                        self._client.update_run(known, status="RUNNING")
                        return known
                except MlflowException as error:
                    if error.error_code != _GONE:
                        raise
            self._id = self._begin()
            return self._id

    def _begin(self) -> str:
        from mlflow.entities import Param
        from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_SOURCE_NAME

        tags = dict(self.run.tags)
        tags[MLFLOW_SOURCE_NAME] = "tmkd-pipeline"
        if "commit" in tags:
            tags[MLFLOW_GIT_COMMIT] = tags["commit"]
        begun = self._client.create_run(self._experiment(), run_name=self.run.name, tags=tags)
        run_id = str(begun.info.run_id)
        parameters = [Param(key[:_LONGEST_KEY], value[:_LONGEST_VALUE]) for key, value in self.run.parameters.items()]
        for begin in range(0, len(parameters), _MOST_PARAMETERS):
            self._client.log_batch(run_id, params=parameters[begin : begin + _MOST_PARAMETERS])
        return run_id

    def _experiment(self) -> str:
        name = self.run.project
        found = self._client.get_experiment_by_name(name)
        if found is None:
            files = (self.run.directory / "mlflow-artifacts").absolute().as_uri() if self._own else None
            return str(self._client.create_experiment(name, artifact_location=files))
        return str(found.experiment_id)

    def has(self, epoch: Epoch) -> bool:
        """Whether each of its figures has a point at its step."""
        with _calm():
            return all(
                any(point.step == epoch.number for point in self._client.get_metric_history(self._id, name))
                for name in epoch.values
            )

    def send(self, epochs: Sequence[Epoch], first: int) -> None:
        """Send the figures, as many at once as the server takes."""
        self._log([(name, value, epoch.number) for epoch in epochs for name, value in epoch.values.items()])

    def finish(self, results: Results) -> None:
        """Send final figures below `final/`, files, and the status."""
        self._log([(f"final/{name}", value, 0) for name, value in results.values.items()])
        with _calm():
            self._client.set_tag(self._id, "state", results.state)
            self._client.set_tag(self._id, "message", results.message[:_LONGEST_VALUE])
            for path in results.files.values():
                self._client.log_artifact(self._id, str(path))
            self._client.set_terminated(self._id, _STATUS[results.state])

    def close(self) -> None:
        """Nothing is kept open."""
        self._client = None

    def _log(self, figures: Sequence[tuple[str, float, int]]) -> None:
        with _calm():
            from mlflow.entities import Metric

            now = int(1000 * time.time())
            metrics = [Metric(name, value, now, step) for name, value, step in figures]
            for begin in range(0, len(metrics), _MOST_METRICS):
                self._client.log_batch(self._id, metrics=metrics[begin : begin + _MOST_METRICS])


@contextmanager
def _calm() -> Iterator[None]:
    """A block in which MLflow reports to nobody, prints nothing, and gives a server that is gone up within seconds."""
    with (
        quiet(),
        environment("MLFLOW_DISABLE_TELEMETRY", "true"),
        environment("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
        environment("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"),
        environment("MLFLOW_HTTP_REQUEST_TIMEOUT", "20"),
    ):
        yield


def _without_password(uri: str) -> str:
    try:
        parts = urlsplit(uri)
        if parts.username is None and parts.password is None:
            return uri
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    except ValueError:
        return "an address that cannot be read"
