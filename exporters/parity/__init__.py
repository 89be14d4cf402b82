"""Measures on the data, image by image, whether an exported file is the same classifier as the student.

Errors are relative to the logits' scale, the largest absolute logit of the reference over the whole set: a bare
absolute tolerance means nothing across networks.
"""

from exporters.parity.evidence import Answer, AskTogether, Batch, Evidence, ParityReport
from exporters.parity.gate import DEFAULT_GATES, ParityGate
from exporters.parity.intervals import paired_interval
from exporters.parity.judging import judge
from exporters.parity.maps import MapMeter, MapReport, MapResult, judge_maps
from exporters.parity.measure import ParityMeter, ParityResult, compare

__all__ = [
    "DEFAULT_GATES",
    "Answer",
    "AskTogether",
    "Batch",
    "Evidence",
    "MapMeter",
    "MapReport",
    "MapResult",
    "ParityGate",
    "ParityMeter",
    "ParityReport",
    "ParityResult",
    "compare",
    "judge",
    "judge_maps",
    "paired_interval",
]
