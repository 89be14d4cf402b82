"""Measurements of the pipeline itself; `make bench` runs them."""
