"""For all tests: one thread an operator, and examples that are the same on every machine."""

import os

from hypothesis import settings

# The networks are tiny, and threads of many operators only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A change is judged by what it changed, not by a draw; `make fuzz` draws new examples.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("fuzz", derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))
