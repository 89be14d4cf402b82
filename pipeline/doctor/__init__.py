"""What this machine can do, and what is missing for what: the command `doctor`."""
