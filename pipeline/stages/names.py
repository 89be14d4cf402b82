"""The names of the stages in their order, for the command line; imports nothing."""

STAGE_NAMES: tuple[str, ...] = (
    "data", "baseline", "teacher", "text", "fusion", "race", "distill", "reference",
    "validate", "export", "parity", "bundle",
)  # fmt: skip
