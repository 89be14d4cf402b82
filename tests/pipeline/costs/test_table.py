from pipeline.costs.counts import Counts
from pipeline.costs.estimate import Estimate, StageCost
from pipeline.costs.flops import NetworkSize
from pipeline.costs.probe import Prices
from pipeline.costs.seconds import Seconds
from pipeline.costs.table import COLUMNS, cost_table, price_lines

PRICES = Prices({"plain": Seconds(0.003, 0.001), "look": Seconds(0.01, 0.01)}, {"student": NetworkSize(1e9, 10)}, "cpu")
ESTIMATE = Estimate(
    (
        StageCost("data", Seconds(), 0, "reused"),
        StageCost("teacher", Seconds(90, 60), 2_500_000_000, "probe"),
        StageCost("race", Seconds(), 0, ""),
        StageCost("distill", Seconds(150_000, 6), 10_000_000, "measured"),
    ),
    Counts(1_281_167, 50_000, 0, 1000),
    PRICES,
)


def test_table_has_what_is_to_be_paid_and_the_sum() -> None:
    title, columns, rows = cost_table(ESTIMATE)
    assert "1,281,167 training" in title and columns == COLUMNS
    assert rows == [
        ["teacher", "1.5", "1.0", "2.5", "a trial"],
        ["distill", "2,500", "0.10", "0.01", "a trial and an earlier run"],
        ["all", "2,502", "1.1", "2.5", ""],
    ]


def test_lines_say_speed_and_that_the_machine_is_busy() -> None:
    first, busy, last = price_lines(ESTIMATE)
    assert "3 ms (1,000 GFLOP/s)" in first  # three forward passes of 1 GFLOP in 3 ms
    assert "3.0 times" in busy and "Not foreseen: an early stop" in last
    assert (
        "Not foreseen: compiling (train.compile; minutes at first), an early stop"
        in price_lines(ESTIMATE, ["train.compile"])[-1]
    )
