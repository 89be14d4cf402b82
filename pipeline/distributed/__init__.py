"""Several processes that train together: which one this is, how they start and end, what they exchange."""
