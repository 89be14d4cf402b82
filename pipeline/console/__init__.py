"""What a person sees while work is done: bars on a terminal, plain lines elsewhere."""

from pipeline.console.bars import Bar
from pipeline.console.console import Console

__all__ = ["Bar", "Console"]
