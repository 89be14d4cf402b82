"""What later stages need is looked at before anything is trained; one file a kind of check, all in `registry.py`."""

from pipeline.preflight.run import Preflight

__all__ = ["Preflight"]
