"""The names of the stages in their order, for the command line; imports nothing."""

STAGE_NAMES: tuple[str, ...] = (
    "data", "teacher", "text", "fusion", "distill", "validate", "export", "parity", "bundle",
)  # fmt: skip
