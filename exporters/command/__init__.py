"""The command `export`: one checkpoint to files that are proved, without the rest of a pipeline."""

from exporters.command.export import export_checkpoint
from exporters.command.request import GATES, CalibrationRequest, VariantRequest

__all__ = ["GATES", "CalibrationRequest", "VariantRequest", "export_checkpoint"]
