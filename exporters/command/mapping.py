"""Proof of weights whose foreign keys were mapped by their order: they classify better than chance, or do not ship."""

from collections.abc import Mapping
from typing import Any

from exporters.command.job import Job
from exporters.errors import GateError
from exporters.parity.measure import wilson_interval


def prove_mapping(job: Job, mapped: int, report: Mapping[str, Any]) -> None:
    """Hold the accuracy against chance, and say what it proves.

    Args:
        job: the export.
        mapped: how many keys were mapped; 0: there is nothing to prove.
        report: of fp32, as `parity.json` holds it.

    Raises:
        GateError: the accuracy is not above chance with 95 % confidence.
    """
    if not mapped:
        return
    accuracy, chance = report["whole"]["reference_accuracy"], job.images.chance
    if accuracy is None or chance is None:
        job.say(
            f"UNPROVED: {mapped} keys were mapped by their order, and without labelled images nothing tells whether"
            " rightly; give --data DIR, with a folder for each class"
        )
        return
    images = report["whole"]["images"]
    low, _high = wilson_interval(round(accuracy * images), images)
    told = f"accuracy {100 * accuracy:.2f} % on {images:,} images, chance {100 * chance:.2f} %"
    if low <= chance:
        raise GateError(
            f"{mapped} keys were mapped by their order, and the accuracy does not prove it: {told}",
            remedy="Give more images, or check labels, --mean and --std; else this is a checkpoint of another network.",
        )
    job.say(f"the mapping of {mapped} keys is proved: {told}")
