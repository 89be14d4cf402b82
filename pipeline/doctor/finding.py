"""What the doctor says of one thing."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        about: what was looked at.
        state: `ok`; `note` for what is missing and only some work needs; `fault` for what is broken, or what the
            recipe needs and is not here.
        found: what was found.
        means: what follows from it; empty where nothing does.
        remedy: what to do; empty where there is nothing to do.
    """

    about: str
    state: State
    found: str
    means: str = ""
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """All attributes by name."""
        return asdict(self)
