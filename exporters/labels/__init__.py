"""Files of labels and of class names: what stands in them, and which label belongs to which logit."""

from exporters.labels.order import read_labels
from exporters.labels.row import Row
from exporters.labels.rows import read_rows

__all__ = ["Row", "read_labels", "read_rows"]
