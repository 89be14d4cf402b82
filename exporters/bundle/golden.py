"""How far a model may be from a bundle's golden vectors: as far as the gate that it passed allows, and never further
than its precision may.

The gate's bound is relative to the largest logit of all images that it was asked on. The golden images are a few of
them, so that the same bound is a little larger relative to their own logits.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from exporters.bundle.manifest import GOLDEN_LIMITS, GOLDEN_OUTPUTS, PARITY, variant_of
from exporters.core.errors import GateError
from exporters.parity import compare

_LEAST_WITHOUT_BOUND = 0.02  # of the logits' scale, where the gate asks for agreement alone


def golden_tolerance(precision: str, report: Mapping[str, Any], logits: np.ndarray) -> float:
    """The largest error of a golden vector that `verify` accepts, relative to the golden logits' scale.

    Args:
        precision: a key of `GOLDEN_LIMITS`, whose value is the most that is ever accepted.
        report: `ParityReport.to_json()`. Where its gate has no bound on the error, twice the error that was measured
            counts, since processors round int8 in different places.
        logits: the golden outputs, float32 `[n, K]`.
    """
    whole, bound = report["whole"], report["gate"]["max_scaled_error"]
    if bound is None:
        bound = max(2 * (whole["max_scaled_error"] or 0.0), _LEAST_WITHOUT_BOUND)
    scale = float(np.abs(logits).max(initial=0)) or 1.0
    return float(min(GOLDEN_LIMITS[precision], bound * max(1.0, whole["scale"] / scale)))


def check_tolerances(models: Mapping[str, Any], parity: Any, logits: np.ndarray) -> None:
    """Refuse a manifest that allows more than `parity.json` accounts for.

    Args:
        models: `models` of the manifest.
        parity: the content of `parity.json`.
        logits: the golden outputs.

    Raises:
        GateError: a model without a report that it passed, or with a larger tolerance than follows from it.
    """
    for name, entry in sorted(models.items()):
        report: Any = parity.get(variant_of(name)) if isinstance(parity, dict) else None
        try:
            passed = report["passed"] is True
            allowed = golden_tolerance(entry["precision"], report, logits)
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise GateError(f"{PARITY}: has no proof of {name}") from error
        if not passed:
            raise GateError(f"{PARITY}: {name} did not pass")
        if not entry["golden_tolerance"] <= allowed * (1 + 1e-9):
            raise GateError(
                f"{name}: the manifest allows an error of {entry['golden_tolerance']:g} of the logits' scale; the gate"
                f" that {PARITY} tells of allows {allowed:g}"
            )


def beyond_bundle(
    precision: str,
    report: Mapping[str, Any],
    predict: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    logits: np.ndarray,
) -> str | None:
    """Why a model that passed its gate cannot be packed; None where it can.

    Args:
        precision, report: as `golden_tolerance` takes them.
        predict: the model on a CPU, where bundles are verified; uint8 `[B, H, W, 3]` to float32 `[B, K]`.
        images, logits: the golden vectors.
    """
    try:
        check_golden("the model", predict, images, logits, golden_tolerance(precision, report, logits))
    except GateError as error:
        return f"{error.message}; no gate allows a bundle more than {GOLDEN_LIMITS[precision]:g} in {precision}"
    return None


def check_golden(
    name: str, predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray, logits: np.ndarray, tolerance: float
) -> float:
    """The largest error of a model on the golden vectors, relative to the logits' scale, in one batch and one by one.

    Args:
        name: of the model, for messages.
        predict: uint8 `[B, H, W, 3]` to float32 `[B, K]`.
        images, logits: the golden vectors.
        tolerance: the largest error that passes.

    Raises:
        GateError: a larger error, or logits that are not finite.
    """
    return judge_golden(name, *predicted(predict, images), logits, tolerance)


def predicted(predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a model answers to all images together, and to one after the other, both `[n, K]`."""
    return predict(images), np.concatenate([predict(images[index : index + 1]) for index in range(len(images))])


def judge_golden(name: str, together: np.ndarray, single: np.ndarray, logits: np.ndarray, tolerance: float) -> float:
    """As `check_golden`, of answers that `predicted` gives."""
    worst = 0.0
    for batch, found in ((len(logits), together), (1, single)):
        error = compare(logits, found, None, [str(index) for index in range(len(logits))])
        if error.non_finite or error.max_scaled_error is None or error.max_scaled_error > tolerance:
            raise GateError(
                f"{name}: does not reproduce {GOLDEN_OUTPUTS} at batch {batch}: error {error.max_scaled_error} of the "
                f"logits' scale, allowed {tolerance:g}"
            )
        worst = max(worst, error.max_scaled_error)
    return worst
