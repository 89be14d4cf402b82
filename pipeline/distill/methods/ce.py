"""Plain training: cross-entropy alone."""

from pipeline.distill.methods.base import Method


class CrossEntropy(Method):
    """`μ·CE`; takes nothing from a teacher."""
