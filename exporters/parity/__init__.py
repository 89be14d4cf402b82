"""Is an exported file the same classifier as the student? Measured on the data, image by image.

Errors are relative to the logits' scale, the largest absolute logit of the reference over the whole set: a bare
absolute tolerance means nothing across networks.
"""

from exporters.parity.evidence import Batch, Evidence, ParityReport, run_parity
from exporters.parity.gate import DEFAULT_GATES, ParityGate, judge
from exporters.parity.measure import ParityMeter, ParityResult, compare, paired_interval

__all__ = [
    "DEFAULT_GATES",
    "Batch",
    "Evidence",
    "ParityGate",
    "ParityMeter",
    "ParityReport",
    "ParityResult",
    "compare",
    "judge",
    "paired_interval",
    "run_parity",
]
