"""A finished run for people."""
