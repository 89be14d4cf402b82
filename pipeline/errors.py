"""The errors that a user of the Python API may want to catch; each `str()` says what is wrong, where, and what to do.

`UsageError`: a recipe or an argument that cannot be followed. `GateError`: a check failed, and nothing ships.
`UnavailableError`: something needed is missing or unusable on this machine. Each is a `TmkdError`: `report` is what the
call had found by then, `exit_code` that of the command that does the same.
"""

from exporters.core.errors import GateError, TmkdError, UnavailableError, UsageError

__all__ = ["GateError", "TmkdError", "UnavailableError", "UsageError"]
