"""What the outputs of exported networks are called, wherever one is written, run or checked."""

OUTPUT_NAME = "logits"
CAM_NAME = "cam"
"""The class activation map of the most likely class; only where it was asked for."""
