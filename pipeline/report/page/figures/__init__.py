"""The figures of a run's page, one kind a file: numbers in, a matplotlib figure out."""
