"""The figures of a comparison's page that the page of a run has not: numbers in, a matplotlib figure out."""
