"""One file for each data set: `read(root, settings) -> Listing`."""
