"""The way of a recipe: from YAML to a student that passed its gates."""

from exporters import __version__

__all__ = ["__version__"]
