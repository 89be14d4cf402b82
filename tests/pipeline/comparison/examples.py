"""Comparisons to report: small ones, and one of realistic size."""

import numpy as np

from pipeline.comparison.results import ArmResult, Comparison, SeedResult

TEACHER = {
    "validation": {
        "images": 600,
        "views": {"edge": 0.812, "high_frequency": 0.8, "rgb": 0.82},
        "fused": 0.835,
        "oracle": 0.88,
        "mean_weights": {"edge": 0.3, "high_frequency": 0.3, "rgb": 0.4},
    },
    "test": {
        "images": 3000,
        "views": {"edge": 0.8093, "high_frequency": 0.7987, "rgb": 0.8247},
        "fused": 0.834,
        "oracle": 0.886,
        "mean_weights": {"edge": 0.3, "high_frequency": 0.3, "rgb": 0.4},
    },
}


def seed_result(
    chosen: np.ndarray, final: np.ndarray, seed: int = 0, name: str = "arm", teacher: dict | None = None
) -> SeedResult:
    """A student from what it has right; on validation it is a little better than on test."""
    correct = {"chosen": chosen, "final": final}
    test = {which: float(values.mean()) for which, values in correct.items()}
    validation = {which: min(1.0, value + 0.01) for which, value in test.items()}
    return SeedResult(seed, f"{name}-seed{seed}", validation, test, 12.5 + seed, correct, teacher)


def drawn_arm(
    name: str,
    accuracy: float,
    *,
    base: str | None = None,
    reference: str | None = None,
    ablates: str | None = None,
    settings: dict | None = None,
    seeds: int = 3,
    images: int = 3000,
) -> ArmResult:
    """An arm whose students are right with a chance that depends on the image; the same name gives the same arm."""
    random = np.random.default_rng(list(name.encode()))
    odds = np.log(accuracy / (1 - accuracy)) + 2 * np.random.default_rng(0).standard_normal(images)
    results = []
    for seed in range(seeds):
        chance = 1 / (1 + np.exp(-1.7 * (odds + 0.03 * random.standard_normal())))
        chosen = random.random(images) < chance
        final = np.where(random.random(images) < 0.9, chosen, random.random(images) < chance)
        results.append(seed_result(chosen, final, seed, name, TEACHER if base else None))
    method = "tmkd" if base else name.partition(" ")[0]
    return ArmResult(name, method, base, settings or {}, reference, tuple(results), ablates)


def large_comparison(seeds: int = 3) -> Comparison:
    """Methods, TMKD on three bases, and an ablation: 12 arms."""

    def tmkd(name: str, accuracy: float, base: str, reference: str, ablates: str | None = None) -> ArmResult:
        settings = {"distill.method": "tmkd", "distill.base": base, "distill.contrast.weight": 0.0}
        return drawn_arm(
            name, accuracy, base=base, reference=reference, ablates=ablates, settings=settings, seeds=seeds
        )

    arms = (
        drawn_arm("ce", 0.76, settings={"distill.method": "ce"}, seeds=seeds),
        drawn_arm("kd", 0.765, settings={"distill.method": "kd"}, seeds=seeds),
        drawn_arm("dkd", 0.772, settings={"distill.method": "dkd"}, seeds=seeds),
        drawn_arm("cat_kd + kd", 0.79, settings={"distill.method": "cat_kd"}, seeds=seeds),
        tmkd("tmkd on kd", 0.768, "kd", "kd"),
        tmkd("tmkd on dkd", 0.74, "dkd", "dkd"),
        tmkd("tmkd on cat_kd", 0.82, "cat_kd", "cat_kd + kd"),
        tmkd("tmkd on cat_kd, uniform weights", 0.791, "cat_kd", "cat_kd + kd", "weighting"),
        tmkd("tmkd on cat_kd, teacher_confidence", 0.805, "cat_kd", "cat_kd + kd", "weighting"),
        tmkd("tmkd on cat_kd, no contrast", 0.815, "cat_kd", "cat_kd + kd", "contrast"),
        tmkd("tmkd on cat_kd, rgb + edge", 0.80, "cat_kd", "cat_kd + kd", "views"),
        tmkd("tmkd on cat_kd, rgb + high_frequency", 0.745, "cat_kd", "cat_kd + kd", "views"),
    )
    command = "tmkd-pipeline compare recipes/quickstart.yaml --methods ce,kd,dkd,tmkd --seeds 3"
    return Comparison("cifar10", "ab" * 32, command, "folder, 10 classes, 6,000 training images", TEACHER, arms)


def small(*arms: ArmResult) -> Comparison:
    return Comparison("tiny", "00", "tmkd-pipeline compare", "data", {}, arms)


def arm(name: str, right: list[str], reference: str | None = None, first: int = 0) -> ArmResult:
    """An arm from rows such as `1101`, one a seed."""
    rows = [np.array([character == "1" for character in row]) for row in right]
    results = tuple(seed_result(row, row, first + seed) for seed, row in enumerate(rows))
    return ArmResult(name, "kd", None, {}, reference, results)
