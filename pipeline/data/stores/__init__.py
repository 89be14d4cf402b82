"""Where images lie: each in a file of its own, or many in one file or library."""
