"""The page of a comparison: all its arms, also of one that is not finished."""
