"""Data sets by name, their splits and index, replayable augmentation, and batches."""
