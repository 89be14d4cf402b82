"""How fast a student answers, each runtime measured in turn so that a busy machine is unfair to all of them alike."""

from exporters.benchmark.decision import Ratio, is_useful, times_as_fast
from exporters.benchmark.measure import measure

__all__ = ["Ratio", "is_useful", "measure", "times_as_fast"]
