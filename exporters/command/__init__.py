"""The command `export`: one checkpoint to files that are proved, without the rest of a pipeline."""

from exporters.command.export import export_checkpoint
from exporters.command.request import CalibrationRequest, EngineRequest, ExportRequest

__all__ = ["CalibrationRequest", "EngineRequest", "ExportRequest", "export_checkpoint"]
