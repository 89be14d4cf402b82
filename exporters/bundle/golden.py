"""How far a model may be from a bundle's golden vectors: as far as the gate that it passed allows, and never further
than its precision may.

The gate's bound is relative to the largest logit of all images that it was asked on. The golden images are a few of
them, so that the same bound is a little larger relative to their own logits.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from exporters.bundle.manifest import GOLDEN_CAM, GOLDEN_LIMITS, GOLDEN_OUTPUTS, PARITY, variant_of
from exporters.bundle.openvino import FOLDER
from exporters.core.errors import GateError
from exporters.parity import MapMeter, compare
from exporters.runtimes import Explained

_LEAST_WITHOUT_BOUND = 0.02  # of the logits' scale, where the gate asks for agreement alone


def golden_tolerance(precision: str, report: Mapping[str, Any], logits: np.ndarray) -> float:
    """The largest error of a golden vector that `verify` accepts, relative to the golden logits' scale.

    Args:
        precision: a key of `GOLDEN_LIMITS`, whose value is the most that is ever accepted.
        report: `ParityReport.to_json()`. Where its gate has no bound on the error, twice the error that was measured
            counts, since processors round int8 in different places.
        logits: the golden outputs, float32 `[n, K]`.
    """
    return _tolerance(precision, report["whole"], report["gate"]["max_scaled_error"], logits)


def cam_tolerance(precision: str, report: Mapping[str, Any], maps: np.ndarray) -> float:
    """As `golden_tolerance`, for the class activation maps, relative to the golden maps' scale.

    Args:
        precision, report: as for `golden_tolerance`; the report has a part `cam`.
        maps: the golden maps, float32 `[n, h, w]`.
    """
    return _tolerance(precision, report["cam"]["whole"], report["cam"]["bound"]["max_scaled_error"], maps)


def _tolerance(precision: str, whole: Mapping[str, Any], bound: float | None, values: np.ndarray) -> float:
    if bound is None:
        bound = max(2 * (whole["max_scaled_error"] or 0.0), _LEAST_WITHOUT_BOUND)
    scale = float(np.abs(values).max(initial=0)) or 1.0
    return float(min(GOLDEN_LIMITS[precision], bound * max(1.0, whole["scale"] / scale)))


def check_tolerances(
    models: Mapping[str, Any], parity: Any, logits: np.ndarray, maps: np.ndarray | None = None
) -> None:
    """Refuse a manifest that allows more than `parity.json` accounts for.

    Args:
        models: `models` or `openvino` of the manifest.
        parity: the content of `parity.json`.
        logits, maps: the golden outputs; None for maps that the bundle does not have.

    Raises:
        GateError: a model without a report that it passed, or with a larger tolerance than follows from it.
    """
    for name, entry in sorted(models.items()):
        report = report_of(parity, name)
        try:
            passed = report["passed"] is True
            allowed = golden_tolerance(entry["precision"], report, logits)
            of_maps = None if maps is None else cam_tolerance(entry["precision"], report, maps)
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise GateError(f"{PARITY}: has no proof of {name}") from error
        if not passed:
            raise GateError(f"{PARITY}: {name} did not pass")
        if not entry["golden_tolerance"] <= allowed * (1 + 1e-9):
            raise GateError(
                f"{name}: the manifest allows an error of {entry['golden_tolerance']:g} of the logits' scale; the gate"
                f" that {PARITY} tells of allows {allowed:g}"
            )
        if of_maps is not None and not entry["cam_tolerance"] <= of_maps * (1 + 1e-9):
            raise GateError(
                f"{name}: the manifest allows an error of {entry['cam_tolerance']:g} of the maps' scale; {PARITY}"
                f" accounts for {of_maps:g}"
            )


def report_of(parity: Any, name: str) -> Any:
    """The report of `parity.json` on a model or an OpenVINO network of a bundle; None where it has none."""
    found = parity.get(FOLDER) if isinstance(parity, dict) and name.startswith(f"{FOLDER}/") else parity
    return found.get(variant_of(name)) if isinstance(found, dict) else None


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


def cam_beyond_bundle(
    precision: str,
    report: Mapping[str, Any],
    explain: Callable[[np.ndarray], Explained],
    images: np.ndarray,
    expected: Explained,
) -> str | None:
    """As `beyond_bundle`, for the class activation maps.

    Args:
        precision, report, images: as for `beyond_bundle`.
        explain: the model on a CPU.
        expected: the student's answers to the golden images.
    """
    tolerance = cam_tolerance(precision, report, expected.cam)
    try:
        judge_golden_maps("the model", explained(explain, images), expected, tolerance)
    except GateError as error:
        return f"{error.message}; no gate allows a bundle more than {GOLDEN_LIMITS[precision]:g} in {precision}"
    return None


def explained(explain: Callable[[np.ndarray], Explained], images: np.ndarray) -> tuple[Explained, Explained]:
    """What a model answers to all images together, and to one after the other."""
    single = [explain(images[index : index + 1]) for index in range(len(images))]
    logits, cam = (np.concatenate([each[part] for each in single]) for part in (0, 1))
    return explain(images), Explained(logits, cam)


def judge_golden_maps(name: str, found: tuple[Explained, Explained], expected: Explained, tolerance: float) -> float:
    """The largest error of a model's class activation maps, relative to the golden maps' scale.

    Maps are of the model's own answers, and are compared where these are the student's.

    Args:
        name: of the model, for messages.
        found: as `explained` gives it.
        expected: the golden outputs.
        tolerance: the largest error that passes.

    Raises:
        GateError: a larger error, maps that are not finite, or none to compare.
    """
    worst = 0.0
    for batch, each in zip((len(expected.logits), 1), found, strict=True):
        meter = MapMeter()
        meter.add(expected, each)
        result = meter.result()
        error = result.max_scaled_error
        if result.non_finite or error is None or error > tolerance:
            raise GateError(
                f"{name}: does not reproduce {GOLDEN_CAM} at batch {batch}: error {error} of the maps' scale, allowed"
                f" {tolerance:g}"
            )
        worst = max(worst, error)
    return worst


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
