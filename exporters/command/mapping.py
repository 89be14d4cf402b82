"""Proof of weights whose foreign keys were mapped by their order: they classify better than chance, or do not ship."""

from collections.abc import Mapping
from typing import Any

from exporters.command.task import ExportTask
from exporters.core.errors import GateError
from exporters.parity.chance import describe, is_above_chance


def prove_mapping(task: ExportTask, mapped: int, report: Mapping[str, Any]) -> None:
    """Hold the accuracy against chance, and say what it proves.

    Args:
        task: the export.
        mapped: how many keys were mapped; 0: there is nothing to prove.
        report: of fp32, as `parity.json` holds it.

    Raises:
        GateError: the accuracy is not above chance with 95 % confidence.
    """
    if not mapped:
        return
    accuracy, chance = report["whole"]["reference_accuracy"], task.images.chance
    if accuracy is None or chance is None or chance == 1:
        missing = "labelled images" if chance is None else "images of several classes"
        task.say(
            f"UNPROVED: {mapped} keys were mapped by their order, and without {missing} nothing shows whether that is"
            " right; give --data DIR, with a folder for each class"
        )
        return
    images = report["whole"]["images"]
    measured = describe(accuracy, images, chance)
    if not is_above_chance(round(accuracy * images), images, chance):
        raise GateError(
            f"{mapped} keys were mapped by their order, and the accuracy does not prove it: {measured}",
            remedy="Give more images of all classes, or check labels, mean, std and image size; else it is another "
            "network's file.",
        )
    task.say(f"the mapping of {mapped} keys is proved by the accuracy: {measured}")
