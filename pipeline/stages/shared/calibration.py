"""The temperature of the student that ships: fitted by `validate`, judged by its gate, and told."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from exporters.core.files import sha256_file
from exporters.student.student import WEIGHTS_NAME
from pipeline.runner.stage import StageContext


def calibrate_student(
    context: StageContext, logits: Mapping[str, tuple[np.ndarray, np.ndarray]], predictions: dict[str, np.ndarray]
) -> dict[str, Any]:
    """The verdict's `calibration`, with the sha256 of the weights that it is for.

    Args:
        logits: of the chosen student: `validation` and `test`, each logits `[N, K]`, finite, and labels `[N]`.
        predictions: where a temperature is applied, `confidence.calibrated.<split>` is added, the probability of each
            answer, float32 `[N]`.
    """
    from pipeline.evaluation.calibration import calibrate, scaled
    from pipeline.evaluation.probabilities import log_probabilities

    found = calibrate(logits["validation"], {"test": logits["test"]})
    if not found.off:
        for split, (values, _labels) in logits.items():
            highest = log_probabilities(scaled(values, found.temperature)).max(axis=1)
            predictions[f"confidence.calibrated.{split}"] = np.exp(highest).astype(np.float32)
    weights = context.run.folder("distill") / "chosen" / WEIGHTS_NAME
    return {**found.to_json(), "weights_sha256": sha256_file(weights)}


def shipped_error(ece: float | None, calibration: Mapping[str, Any] | None) -> float | None:
    """The calibration error on validation of the probabilities that ship, in [0, 1].

    Args:
        ece: of the plain softmax; None where the logits are not finite.
        calibration: of the verdict; None where nothing was fitted.
    """
    if calibration is None or calibration["off"]:
        return ece
    shipped: float = calibration["splits"]["validation"]["ece_after"]
    return shipped


def calibration_in_words(found: Mapping[str, Any]) -> str:
    """One line about `Calibration.to_json`."""
    if found["off"]:
        return f"probabilities stay as they are (temperature 1, fitted {found['fitted']:.4g}): {found['off']}"
    changes = (
        f"{split} ({figures['images']:,} images) ECE {100 * figures['ece_before']:.2f} →"
        f" {100 * figures['ece_after']:.2f} %, NLL {figures['nll_before']:.3f} → {figures['nll_after']:.3f} nats"
        for split, figures in found["splits"].items()
    )
    return f"probabilities are calibrated by temperature {found['temperature']:.4g}: {'; '.join(changes)}"
