"""Taking a bundle back after a failed gate: one in a run directory is always of a student that passed."""

from contextlib import suppress

from exporters.core.errors import UnavailableError
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory

BUNDLE, ARCHIVE = "bundle", "bundle.tar"


def withdraw_bundle(run: RunDirectory, stage: str) -> None:
    """Remove the bundle of an earlier recipe, because a stage failed at its gate; its record says why it is gone.

    Args:
        run: the run directory, held by this process.
        stage: the stage whose gate failed.
    """
    run.discard_kept(BUNDLE)
    run.remove_outputs(BUNDLE, (ARCHIVE,))
    if stage != BUNDLE and run.record(BUNDLE) is not None:
        why = f"was withdrawn when {stage} failed at its gate"
        with suppress(UnavailableError):  # a full disk must not hide the gate
            run.write_record(StageRecord(BUNDLE, "failed", fingerprint="", message=why))
