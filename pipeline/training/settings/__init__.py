"""The settings of a training: epochs, optimizer, learning rate and its schedule, checkpoints."""

from pipeline.training.settings.checkpoint import CheckpointSettings
from pipeline.training.settings.fit import FitSettings
from pipeline.training.settings.network_fit import PRESETS, NetworkFitSettings
from pipeline.training.settings.schedule import ScheduleSettings
from pipeline.training.settings.step_count import fewer_images_a_step, images_a_step, steps_an_epoch

__all__ = [
    "PRESETS",
    "CheckpointSettings",
    "FitSettings",
    "NetworkFitSettings",
    "ScheduleSettings",
    "fewer_images_a_step",
    "images_a_step",
    "steps_an_epoch",
]
