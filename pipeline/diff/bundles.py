"""The two bundles: where they are, what they say of themselves, and their students."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporters.bundle.layout import bundle_size
from exporters.bundle.manifest import read_manifest, variant_of
from exporters.bundle.place import bundle_of
from exporters.client import Student
from exporters.core.errors import TmkdError, UsageError
from exporters.runtimes import Provider


@dataclass(frozen=True)
class Bundle:
    """One of the two.

    Attributes:
        folder: of the bundle.
        precision: which of its models.
        file: the name of that model.
        bytes: of the file.
        bundle_bytes: of all files of the bundle.
        name, version, architecture, parameters: as its manifest says; the version is that of the exporter.
        student: loaded from the file, on the provider that was asked for.
        provider: where it runs.
    """

    folder: Path
    precision: str
    file: str
    bytes: int
    bundle_bytes: int
    name: str
    version: str
    architecture: str
    parameters: int
    student: Student
    provider: Provider

    def load(self, threads: int) -> Student:
        """The student once more, on so many threads."""
        with naming(self.folder):
            return Student.load(self.folder, self.provider, threads, self.precision)


def open_bundle(path: Path, precision: str, provider: Provider) -> Bundle:
    """Load one model of a bundle.

    Args:
        path: the bundle, or the folder of a run or an export that holds it.
        precision: of the model, by its file's name.
        provider: of ONNX Runtime.

    Raises:
        UsageError, GateError, UnavailableError: as `Student.load`; the message names the bundle.
    """
    folder = bundle_of(path)
    with naming(folder):
        manifest = read_manifest(folder)
        names = {variant_of(file): file for file in manifest["models"]}
        if precision not in names:
            raise UsageError(
                f"there is no {precision} model in this bundle",
                remedy=f"It has {', '.join(sorted(names))}: --old-precision and --new-precision choose.",
            )
        student = Student.load(folder, provider, precision=precision)
    file = names[precision]
    return Bundle(
        folder=folder,
        precision=precision,
        file=file,
        bytes=manifest["files"][file]["size"],
        bundle_bytes=bundle_size(folder, manifest).bytes,
        name=manifest["name"],
        version=manifest["version"],
        architecture=manifest["architecture"],
        parameters=manifest["parameters"],
        student=student,
        provider=provider,
    )


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """A block whose errors name the bundle, since there are two."""
    try:
        yield
    except TmkdError as error:
        if str(folder) in error.message:
            raise
        raise type(error)(f"{folder}: {error.message}", remedy=error.remedy) from error
