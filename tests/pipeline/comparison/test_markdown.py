"""The document against one that was written by hand, and what it must say in other cases."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.comparison.analysis import ArmFigures, analyse
from pipeline.comparison.markdown import _overview, to_markdown
from pipeline.comparison.results import ArmResult, Comparison, SeedResult
from pipeline.evaluation.paired import McNemar, PairedDifference, Spread
from tests.pipeline.comparison.examples import TEACHER, arm, large_comparison, small

GOLDEN = Path(__file__).parent / "golden" / "compare.md"
RIGHT = {which: np.ones(3000, dtype=bool) for which in ("chosen", "final")}


def seeds(count: int, first: int = 0, fused: float | None = None) -> tuple[SeedResult, ...]:
    teacher = None if fused is None else {"test": {"fused": fused}}
    return tuple(SeedResult(first + index, "run", {}, {}, 1.0, RIGHT, teacher) for index in range(count))


def paired(
    differences: list[float],
    std: float | None,
    interval: tuple[float, float],
    t: tuple[float, float] | None,
    tests: list[McNemar],
    first: int = 0,
) -> PairedDifference:
    numbers = tuple(range(first, first + len(differences)))
    mean = sum(differences) / len(differences)
    return PairedDifference(numbers, 3000, tuple(differences), mean, std, interval, t, tuple(tests))


def both(chosen: Spread, final: Spread) -> dict:
    return {"chosen": chosen, "final": final}


def golden_case() -> tuple[Comparison, tuple[ArmFigures, ...]]:
    """Plausible figures, written by hand rather than computed."""
    changes = {"distill.method": "tmkd", "distill.base": "kd"}
    edge = {"distill.views.high_frequency": None, "distill.contrast.centre": False}
    kd = ArmResult("kd", "kd", None, {}, None, seeds(2))
    tmkd = ArmResult("tmkd on kd", "tmkd", "kd", changes, "kd", seeds(2, fused=0.834))
    uniform = ArmResult(
        "tmkd on kd, uniform", "tmkd", "kd", changes | {"distill.weighting.by": "uniform"}, "kd",
        seeds(2, fused=0.821), "weighting",
    )  # fmt: skip
    one = ArmResult("tmkd on kd, edge | rgb", "tmkd", "kd", edge, "kd", seeds(1, first=1), "views")
    none = (0.005, 0.025)
    figures = (
        ArmFigures(
            kd,
            both(Spread(0.767, 0.0028, 2), Spread(0.765, 0.0014, 2)),
            both(Spread(0.776, 0.0042, 2), Spread(0.77, 0.0, 2)),
            Spread(8.24, 0.1, 2),
            None,
        ),
        ArmFigures(
            tmkd,
            both(Spread(0.782, 0.0042, 2), Spread(0.78, 0.0028, 2)),
            both(Spread(0.791, 0.0014, 2), Spread(0.77, 0.0, 2)),
            Spread(12.5, 0.1, 2),
            {
                "chosen": paired(
                    [0.014, 0.016], 0.0014, (0.006, 0.024), (0.0023, 0.0277),
                    [McNemar(242, 200, 0.0512), McNemar(248, 200, 0.0264)],
                ),
                "final": paired([0.014, 0.016], 0.0014, none, none, []),
            },
        ),
        ArmFigures(
            uniform,
            both(Spread(0.754, 0.0057, 2), Spread(0.765, 0.0014, 2)),
            both(Spread(0.76, 0.0014, 2), Spread(0.76, 0.0, 2)),
            Spread(112.4, 0.1, 2),
            {
                "chosen": paired(
                    [-0.007, -0.019], 0.0085, (-0.025, -0.001), (-0.0892, 0.0632),
                    [McNemar(190, 211, 0.3177), McNemar(150, 207, 0.003)],
                ),
                "final": paired([0.00001, -0.00005], 0.0, (-0.011, 0.011), (-1.0, 1.0), []),
            },
        ),
        ArmFigures(
            one,
            both(Spread(0.767, None, 1), Spread(0.766, None, 1)),
            both(Spread(0.77, None, 1), Spread(0.77, None, 1)),
            Spread(10.04, None, 1),
            {
                "chosen": paired([0.0], None, (-0.012, 0.011), None, [McNemar(200, 200, 1.0)], first=1),
                "final": paired([0.001], None, (-0.01, 0.012), None, [], first=1),
            },
        ),
    )  # fmt: skip
    comparison = Comparison(
        recipe="cifar10",
        recipe_sha256="0f0f",
        command="tmkd-pipeline compare cifar10.yaml --methods kd,tmkd --seeds 2 --ablate weighting,views",
        data="folder, 10 classes, 6,000 training images",
        teacher=TEACHER,
        arms=tuple(each.arm for each in figures),
        weaknesses=("The arm `tmkd on kd, edge | rgb` has one seed only.",),
    )
    return comparison, figures


def test_the_document_is_the_one_written_by_hand() -> None:
    assert to_markdown(*golden_case()) == GOLDEN.read_text("utf-8")


def test_tables_have_the_expected_number_of_columns() -> None:
    tables = [line for line in to_markdown(*golden_case()).splitlines() if line.startswith("|")]
    widths = [line.replace("\\|", "").count("|") for line in tables]
    assert widths == [9] * 4 + [11] * 5


def test_likelihood_and_corruptions_have_a_table_of_their_own() -> None:
    comparison, figures = golden_case()
    nll, ece = Spread(0.8123, 0.0049, 2), Spread(0.0512, None, 1)
    corrupted = {"gaussian_noise": Spread(0.401, 0.02, 2), "mean": Spread(0.5, 0.01, 2)}
    plain = (replace(figures[0], nll=nll, ece=ece), *figures[1:])
    lines = to_markdown(comparison, plain).splitlines()
    assert "| arm | NLL | ECE |" in lines and "| `kd` | 0.812 ± 0.005 | 5.12 |" in lines
    assert "| `tmkd on kd` | — | — |" in lines and not any("corrupted, all" in line for line in lines)
    lines = to_markdown(comparison, (replace(plain[0], corrupted=corrupted), *figures[1:])).splitlines()
    assert "| arm | NLL | ECE | corrupted, all | gaussian noise |" in lines
    assert "| `kd` | 0.812 ± 0.005 | 5.12 | 50.00 ± 1.00 | 40.10 ± 2.00 |" in lines
    assert "| `tmkd on kd` | — | — | — | — |" in lines


def document(comparison: Comparison) -> str:
    return to_markdown(comparison, analyse(comparison))


def test_without_references_nothing_is_judged() -> None:
    text = document(small(arm("ce", ["11"]), arm("kd", ["01"])))
    assert "No arm has a reference here, so that no difference is judged." in text
    assert "in words" not in text and "Ablation" not in text and "are judged here" not in text
    assert "No arm has one." in text and "Weaknesses" not in text


@pytest.mark.parametrize(("fused", "says"), [(0.80, ": fusing does not help here"), (0.9, "points against its best")])
def test_fusion_without_gain_is_stated(fused: float, says: str) -> None:
    teacher = {split: values | {"fused": fused} for split, values in TEACHER.items()}
    text = document(replace(small(arm("kd", ["11"])), teacher=teacher))
    assert says in text and ("does not help" in text) == (fused < 0.8247)


def test_a_teacher_of_one_view_is_not_fused() -> None:
    teacher = {split: {**TEACHER[split], "views": {"rgb": 0.5}, "fused": 0.5} for split in TEACHER}
    text = document(replace(small(arm("kd", ["11"])), teacher=teacher))
    assert "Test top-1 of the teacher: rgb 50.00 %. On validation: 50.00 %." in text and "fused" not in text


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["worse"], "One arm has a reference, and is **worse than** it (test split, chosen epoch)."),
        (["not distinguishable"], "One arm has a reference, and is **not distinguishable from** it"),
        (["not distinguishable"] * 2, "**2 are not distinguishable** (test split, chosen epoch); none is better or"),
        (["better", "worse", "better"], "of 3 arms **2 are better, and 1 is worse** (test split, chosen epoch)."),
        (["better", "not distinguishable"], "1 is not distinguishable** (test split, chosen epoch); none is worse."),
    ],
)  # fmt: skip
def test_the_overview_counts_in_plain_words(verdicts: list[str], expected: str) -> None:
    assert expected in _overview(verdicts)


def test_seeds_are_counted_and_named() -> None:
    assert "| 1 (seed 0) |" in document(small(arm("kd", ["01"]), arm("ce", ["11"])))


def test_arm_of_auto_says_what_it_chose() -> None:
    comparison = large_comparison()
    first, *_ = comparison.arms
    chose = ("tmkd on kd", "kd", "tmkd on kd")
    seeds = tuple(replace(seed, chose=won) for seed, won in zip(first.seeds, chose, strict=True))
    arms = (replace(first, name="auto", method="auto", reference=None, seeds=seeds),)
    document = to_markdown(replace(comparison, arms=arms), analyse(replace(comparison, arms=arms)))
    assert "\n`auto` chose `tmkd on kd` (2 seeds), `kd` (1 seed).\n" in document
    assert " chose " not in to_markdown(comparison, analyse(comparison)).partition("## How to read")[0]


def test_one_seed_has_no_standard_deviation() -> None:
    assert "±" not in document(large_comparison(1)).partition("mean ± standard deviation")[2]
