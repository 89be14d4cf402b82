"""The page of a data set: what `data inspect` found in it."""
