"""Where the project keeps what it can make again: outside of runs, for this user."""

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """`$TMKD_CACHE`, else `$XDG_CACHE_HOME/tmkd-pipeline`, else `~/.cache/tmkd-pipeline`; None where none is known."""
    if cache := os.environ.get("TMKD_CACHE"):
        return Path(cache)
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "tmkd-pipeline"
    try:
        return Path.home() / ".cache" / "tmkd-pipeline"
    except RuntimeError:
        return None
