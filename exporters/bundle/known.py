""" "None of these" in a bundle: what its manifest and card say of it, and whether that can be so."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from exporters.bundle.contents import Known
from exporters.bundle.manifest import GOLDEN_OUTPUTS, MANIFEST
from exporters.core.errors import GateError
from exporters.core.known import known_scores, rule_of, threshold_rank

_SAME_SCORE = 1e-9  # relative: libraries round exponentials and logarithms differently


def described_known(known: Known | None, logits: np.ndarray) -> dict[str, Any]:
    """The manifest's key `known`; nothing for a bundle that tells no images apart.

    Args:
        known: what was chosen and measured.
        logits: the golden outputs, float32 `[n, K]`.
    """
    if known is None:
        return {}
    whole = {
        "score": known.score,
        "false_alarms": known.false_alarms,
        "images": dict(known.images),
        "golden": known_scores(known.score, logits).tolist(),
    }
    return {"known": whole}


def described_model(known: Known | None, file: str) -> dict[str, Any]:
    """The key `known` of a model in the manifest; nothing for a bundle that tells no images apart."""
    if known is None:
        return {}
    model = known.models[file]
    return {"known": {"threshold": model.threshold, "refused": dict(model.refused)}}


def check_known(manifest: Mapping[str, Any], logits: np.ndarray) -> None:
    """Refuse figures that contradict each other, the rule that thresholds follow, or the golden outputs.

    Args:
        manifest: of a checked form.
        logits: the golden outputs, float32 `[n, K]`, finite.

    Raises:
        GateError: says what cannot be.
    """
    known = manifest.get("known")
    for name, entry in sorted(manifest["models"].items()):
        if ("known" in entry) != (known is not None):
            raise GateError(f"{MANIFEST}: {name} needs a threshold where the bundle tells known images apart")
    if known is None:
        return
    images = known["images"]
    if missing := {"validation", "test"} - set(images):
        raise GateError(f"{MANIFEST}: known: nothing was measured on {' and '.join(sorted(missing))}")
    for split, result in manifest["facts"]["results"].items():
        if images.get(split, result["images"]) != result["images"]:
            raise GateError(f"{MANIFEST}: known: {images[split]:,} {split} images, and the results have others")
    scores = known_scores(known["score"], logits)
    given = np.asarray(known["golden"])
    if given.shape != scores.shape or not np.allclose(given, scores, rtol=_SAME_SCORE, atol=_SAME_SCORE):
        raise GateError(f"{MANIFEST}: known: not the scores of {GOLDEN_OUTPUTS}")
    rank = threshold_rank(images["validation"], known["false_alarms"])
    if rank == 0:
        raise GateError(f"{MANIFEST}: known: {images['validation']} images are too few for {known['false_alarms']:g}")
    for name, entry in sorted(manifest["models"].items()):
        refused = entry["known"]["refused"]
        if set(refused) != set(images) or any(refused[of] > images[of] for of in images):
            raise GateError(f"{MANIFEST}: known: what {name} refuses is not of the images that there are")
        if refused["validation"] >= rank:
            raise GateError(
                f"{MANIFEST}: known: {name} refuses {refused['validation']} validation images, and its threshold was"
                f" to refuse fewer than {rank}"
            )
    _check_golden(manifest, scores, logits)


def _check_golden(manifest: Mapping[str, Any], scores: np.ndarray, logits: np.ndarray) -> None:
    """The golden images are validation images: no model refuses more of them than it refuses there, errors allowed."""
    for name, entry in sorted(manifest["models"].items()):
        rule, refused = rule_of(manifest, name), entry["known"]["refused"]["validation"]
        assert rule is not None
        if rule.score == "max_softmax" and not 0 < rule.threshold <= 1:
            raise GateError(f"{MANIFEST}: known: the threshold of {name} is no probability")
        error = entry["golden_tolerance"] * float(np.abs(logits).max(initial=0))
        # An error e of each logit moves their energy by e at most, and the logarithm of a probability by 2e.
        highest = scores + error if rule.score == "energy" else scores * np.exp(2 * error)
        below = len(set(scores[highest < rule.threshold].tolist()))  # where validation has few images, they recur
        if below > refused:
            raise GateError(
                f"{MANIFEST}: known: by the threshold of {name}, {below} of the golden images are none of the classes;"
                f" it says {refused} of all validation images"
            )


def none_of_these(about: Mapping[str, Any]) -> Iterator[str]:
    """The card's section about images that are none of the classes, where the bundle tells them apart."""
    known = about.get("known")
    if known is None:
        return
    of = {
        "energy": "the negative energy of the logits, log Σ exp(logits) (Liu et al. 2020, equation 4)",
        "max_softmax": "the largest of the softmax of the logits (Hendrycks & Gimpel 2017)",
    }[known["score"]]
    models, images = about["models"], known["images"]
    rank = threshold_rank(images["validation"], known["false_alarms"])
    rows = [
        f"| images | how many | {' | '.join(f'refused by {file}' for file in models)} |",
        f"|---|---|{'---|' * len(models)}",
        *(
            f"| {name} | {count} | {' | '.join(_share(models[file], name, count) for file in models)} |"
            for name, count in sorted(images.items(), key=lambda item: (item[0] not in ("validation", "test"), item[0]))
        ),
    ]
    thresholds = ", ".join(f"{models[file]['known']['threshold']:.6g} for {file}" for file in models)
    yield (
        "## None of these\n\n"
        f"An image is unlike the training data, and none of the classes, where its score is below a threshold. The"
        f" score is {of}; temperatures of probabilities do not change it. The threshold is number {rank} of the scores"
        f" of the {images['validation']} validation images, from the smallest up, so that of new images like these"
        f" {known['false_alarms']:g} at most are refused by mistake, on average: {thresholds}. `manifest.json` has"
        " them in full.\n\n"
        + "\n".join(rows)
        + "\n\nOf validation and test images each refusal is a false alarm; of the others it is right. Images of other"
        " kinds than those that were measured may be refused more seldom, above all photographs that resemble a class."
    )


def _share(entry: Mapping[str, Any], images: str, count: int) -> str:
    refused = entry["known"]["refused"][images]
    return f"{refused / count:.4g} ({refused})"
