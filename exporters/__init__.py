"""From a trained student to files that ship; knows nothing of teachers."""

import os

__version__ = "0.1.0"

# From 1.29 on ONNX Runtime tells its makers what it runs, and keeps an id of the device on the disk, unless this is set
# before it is loaded. What the user has set stays.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
