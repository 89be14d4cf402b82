"""The stages in their order."""

from pipeline.runner.stage import Stage
from pipeline.stages.baseline import BaselineStage
from pipeline.stages.bundle import BundleStage
from pipeline.stages.data import DataStage
from pipeline.stages.distill import DistillStage
from pipeline.stages.export import ExportStage
from pipeline.stages.fusion import FusionStage
from pipeline.stages.names import STAGE_NAMES
from pipeline.stages.parity import ParityStage
from pipeline.stages.race import RaceStage
from pipeline.stages.reference import ReferenceStage
from pipeline.stages.teacher import TeacherStage
from pipeline.stages.text import TextStage
from pipeline.stages.validate import ValidateStage

STAGES: tuple[Stage, ...] = (
    DataStage(),
    BaselineStage(),
    TeacherStage(),
    TextStage(),
    FusionStage(),
    RaceStage(),
    DistillStage(),
    ReferenceStage(),
    ValidateStage(),
    ExportStage(),
    ParityStage(),
    BundleStage(),
)
assert tuple(stage.name for stage in STAGES) == STAGE_NAMES
