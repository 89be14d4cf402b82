"""Whether the images that a service is sent are still like those of validation: values, histograms, tests, window."""

from exporters.drift.distance import Comparison, compare_counts
from exporters.drift.reference import LEAST_IMAGES, DriftReference
from exporters.drift.values import STATISTICS, answer_values, image_size, pixel_values
from exporters.drift.window import LEAST_WINDOW, MOST_WINDOW, DriftWindow, Look

__all__ = [
    "LEAST_IMAGES",
    "LEAST_WINDOW",
    "MOST_WINDOW",
    "STATISTICS",
    "Comparison",
    "DriftReference",
    "DriftWindow",
    "Look",
    "answer_values",
    "compare_counts",
    "image_size",
    "pixel_values",
]
