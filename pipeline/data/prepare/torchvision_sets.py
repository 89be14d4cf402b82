"""Data sets that torchvision fetches by itself."""

import inspect
from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.core.files import writing
from exporters.core.write_errors import WriteError, write_cause
from pipeline.data.prepare.reporting import Reporter
from pipeline.data.torchvision_names import torchvision_class, torchvision_set


def fetch(name: str, root: Path, reporter: Reporter) -> None:
    """Let torchvision fetch every split that is not there yet.

    Args:
        name: the class in `torchvision.datasets`.
        root: what torchvision calls root.
        reporter: shown each split that is fetched.

    Raises:
        UsageError: no such class for classification; suggests the nearest.
        UnavailableError: torchvision is missing, does not fetch this set, or fails to.
    """
    asked = torchvision_set(name)
    kind = torchvision_class(name)
    if "download" not in inspect.signature(kind).parameters:
        raise UnavailableError(
            f"torchvision:{name}: the installed torchvision does not fetch it",
            remedy=f"Get it by hand, and put it below {root} as the documentation of torchvision's {name} says.",
        )
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    for split, arguments in asked.splits.items():
        given = {"root": str(root), **asked.others, **arguments}
        try:
            kind(**given, download=False)
            continue
        except Exception as error:  # whatever a set raises where it is not there
            reporter.say(
                f"torchvision fetches {name}, {split} ({str(error).splitlines()[0] if str(error) else 'absent'})"
            )
        try:
            kind(**given, download=True)
        except Exception as error:  # of the net, of checksums, of packages that this set needs
            if (cause := write_cause(error, (root,))) is not None:
                raise WriteError(Path(cause.filename or root), cause) from error
            raise UnavailableError(
                f"torchvision:{name}: torchvision cannot fetch it: {error or type(error).__name__}",
                remedy=f"Try again later, or get it by hand, as the documentation of torchvision's {name} says.",
            ) from error
