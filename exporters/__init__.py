"""From a trained student to files that ship; knows nothing of teachers."""

__version__ = "0.1.0"
