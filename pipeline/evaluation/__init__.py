"""How good a teacher or a student is, and whether that is enough."""
