"""Limits that no input can raise; imports nothing, so that the command line can name them."""

MAX_PIXELS = 64_000_000
"""Of one image. More than any camera of the field gives, and few enough (192 MB) that a small server survives it."""
