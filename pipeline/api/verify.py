"""`verify`: the proof that a bundle is whole and holds the student alone; the command calls the same function."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.api.shown import Shown
from pipeline.api.wording import for_python

if TYPE_CHECKING:
    from exporters.bundle.accuracy import AccuracyReport
    from exporters.bundle.signature import Signer
    from pipeline.console import Console


@dataclass(frozen=True, repr=False)
class Verified:
    """What was proved of a bundle.

    Attributes:
        bundle: the folder.
        files: how many were checked.
        size: of all of them, in bytes.
        tensors: how many tensors of the models were matched with the student's parameters.
        golden_images: how many golden vectors were reproduced.
        golden_errors: by model, the largest error of any, relative to the logits' scale.
        signature: `checked`; `there` and not checked; or empty.
        accuracy: what was measured on the images given; None without any.
        manifest: the bundle's `manifest.json`.
        not_run: OpenVINO networks whose golden vectors were not looked at, since OpenVINO is not installed.
    """

    bundle: Path
    files: int
    size: int
    tensors: int
    golden_images: int
    golden_errors: dict[str, float]
    signature: str
    accuracy: "AccuracyReport | None"
    manifest: dict[str, Any] = field(compare=False)
    not_run: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for a person, without the accuracy."""
        errors = ", ".join(f"{name} {error:.1e}" for name, error in self.golden_errors.items())
        return (
            f"{self.bundle}: verified. {self.files} files ({self.size / 1e6:.2f} MB) as packed; {self.tensors} tensors,"
            f" all from the trained model; {self.golden_images} golden images reproduced, largest error of the logits'"
            f" scale: {errors}"
            + (f"; not run, since OpenVINO is not installed: {', '.join(self.not_run)}" if self.not_run else "")
        )

    def to_json(self) -> dict[str, Any]:
        """As the command prints it with `--json`."""
        return {
            "bundle": str(self.bundle),
            "files": self.files,
            "size": self.size,
            "tensors": self.tensors,
            "golden_images": self.golden_images,
            "golden_errors": self.golden_errors,
            "signature": self.signature,
            **({"not_run": list(self.not_run)} if self.not_run else {}),
            "accuracy": None if self.accuracy is None else asdict(self.accuracy),
        }

    def __repr__(self) -> str:
        """What was checked, in a line or two."""
        return self._shown().text()

    def _repr_html_(self) -> str:
        return self._shown().html()

    def _shown(self) -> Shown:
        return Shown(self.describe(), lines=[] if self.accuracy is None else [self.accuracy.describe()])


def verify(bundle: str | Path, *, data: str | Path | None = None, quiet: bool = False) -> Verified:
    """Prove that a bundle is whole and holds only the student: hashes, golden vectors, and where each number is from.

    Neither torch nor a GPU is needed. Signatures are checked by the command, `verify --require-signature`.

    Args:
        bundle: the folder, or that of a run or an export that holds it.
        data: images in a folder for each label; each model's accuracy is then measured on them, and must be what the
            bundle states.
        quiet: show no progress; it goes to standard error.

    Raises:
        UsageError: no such folder.
        GateError: a file is damaged, missing or unlisted, a model is not the student, or less accurate than stated;
            the message names it. Where the accuracy is at fault, `report` is what was measured.
        UnavailableError: onnxruntime is missing, or the images are.
    """
    import sys

    from exporters.bundle.place import bundle_of
    from pipeline.console import Console

    images = None if data is None else Path(data).expanduser()
    with for_python(verify):
        return execute_verification(
            bundle_of(Path(bundle).expanduser()), images, None, Console(sys.stderr, quiet=quiet)
        )


def execute_verification(
    bundle: Path,
    data: Path | None,
    signer: "Signer | None",
    console: "Console",
    proved: Callable[[Verified], None] = lambda _verified: None,
) -> Verified:
    """Do what `verify` and the command do.

    Args:
        bundle, data: as `verify` takes them.
        signer: who must have signed the bundle; None: nobody.
        console: shows progress.
        proved: given what was proved before the accuracy is measured, which may fail.

    Raises:
        TmkdError: as `verify`.
    """
    from exporters.bundle.accuracy import verify_accuracy
    from exporters.bundle.verify import verify_bundle
    from exporters.core.progress import shown_by

    with shown_by(console.track):
        with console.track("verifying", None):
            report = verify_bundle(bundle, signer=signer)
        found = Verified(
            bundle,
            report.size.files,
            report.size.bytes,
            report.tensors,
            report.golden_images,
            report.golden_errors,
            report.signature,
            None,
            report.manifest,
            report.not_run,
        )
        proved(found)
        if data is None:
            return found
        with console.track("measuring the accuracy", None):
            return replace(found, accuracy=verify_accuracy(bundle, report.manifest, data))
