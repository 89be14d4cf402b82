"""For all tests: one thread an operator, because the networks are tiny and threads of many operators only wait."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
