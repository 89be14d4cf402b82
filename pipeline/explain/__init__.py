"""What the networks of a run say about a sample of its test images."""
