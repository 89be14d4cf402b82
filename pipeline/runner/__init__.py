"""The run directory, fingerprints, and the order of things."""
