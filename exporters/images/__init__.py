"""How images are found in folders, decoded, and brought to the student's size."""
