"""A trained classifier: its network, its weights as files, and the checkpoints it is read from."""
