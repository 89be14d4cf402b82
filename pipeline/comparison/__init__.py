"""Comparing methods on one data set: arms, seeds, and what their difference is worth."""
