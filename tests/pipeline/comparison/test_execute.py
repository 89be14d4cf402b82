"""The order and places of runs; comparisons are run in test_compare.py."""

from pathlib import Path

from pipeline.comparison.arms import Source, make_arms
from pipeline.comparison.execute import plan_runs


def test_runs_are_seed_by_seed_and_the_widest_teacher_is_first(tmp_path: Path) -> None:
    source = Source("quickstart")
    arms = make_arms(source, ["ce", "tmkd"], ["kd"])
    runs = plan_runs(tmp_path, source, arms, [3, 4])
    assert [run.seed for run in runs] == [3] * len(arms) + [4] * len(arms)
    for seed in (3, 4):
        names = [run.arm.name for run in runs if run.seed == seed]
        assert names[0] == "tmkd on kd" and set(names) == {arm.name for arm in arms}
    assert runs[0].directory.path == tmp_path / "runs" / "tmkd-on-kd" / "seed-3"
    assert {run.directory.cache for run in runs} == {tmp_path / "cache"}
    assert runs[0].label == "tmkd on kd, seed 3"
