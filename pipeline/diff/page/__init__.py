"""The page of `diff`, on the base of a run's page."""
