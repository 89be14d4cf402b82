"""From a student to what ships: make an artifact, prove it, decide."""
