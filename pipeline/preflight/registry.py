"""The checks, by when they can be made. A new one is a function in this folder and an entry here."""

from pipeline.preflight.base import Check

_TRAINING = frozenset({"baseline", "teacher", "text", "fusion", "race", "distill", "reference"})
_TAUGHT = frozenset({"race", "distill", "reference"})
_STUDENT = _TAUGHT | {"baseline"}

BEFORE_FIRST_STAGE = (
    Check(
        "pipeline.preflight.packages:check", _TRAINING | {"validate", "export", "parity", "bundle"}, follows="machine"
    ),
    Check("pipeline.preflight.files:check", _TRAINING | {"data"}),
    Check("pipeline.preflight.known:check_foreign", frozenset({"bundle"})),
    Check("pipeline.preflight.lock:check_environment", _TRAINING, follows="machine"),
    Check("pipeline.preflight.batches:check_pieces", frozenset({"teacher", "text", "distill"})),
    Check("pipeline.preflight.names:check_prompts", frozenset({"text"}), follows="recipe"),
    Check("pipeline.preflight.runtimes:check_provider", frozenset({"parity"}), follows="machine"),
    Check("pipeline.preflight.runtimes:check_library", frozenset({"export"}), follows="machine"),
    Check("pipeline.preflight.runtimes:check_engines", frozenset({"parity"}), follows="machine"),
    Check("pipeline.preflight.runtimes:check_openvino", frozenset({"export", "parity"}), follows="machine"),
    Check(
        "pipeline.preflight.runtimes:check_teacher_runtime",
        frozenset({"fusion", "race", "distill"}),
        slow=True,
        follows="machine",
    ),
    Check("pipeline.preflight.device:check", _TRAINING, slow=True, follows="machine"),
    Check("pipeline.preflight.lock:check_device", _TRAINING, slow=True, follows="machine"),
    Check("pipeline.preflight.clip:check", frozenset({"text", "fusion", "race", "distill"}), slow=True),
)
"""What follows from the recipe and the machine alone."""

AFTER_DATA = (
    Check("pipeline.preflight.lock:check_data", _TRAINING | {"validate", "export", "parity", "bundle"}),
    Check("pipeline.preflight.names:check_class_names", frozenset({"text", "race", "distill"})),
    Check("pipeline.preflight.names:check_class_weights", frozenset({"teacher", "race", "distill"})),
    Check("pipeline.preflight.known:check_images", frozenset({"bundle"})),
    Check("pipeline.preflight.batches:check_steps", frozenset({"teacher", "text", "distill"})),
    Check("pipeline.preflight.batches:check_parts", frozenset({"teacher", "text", "distill"})),
    Check("pipeline.preflight.networks:check_student", _STUDENT, slow=True, follows="recipe"),
    Check("pipeline.preflight.networks:check_teacher", frozenset({"teacher"}), slow=True, follows="recipe"),
    Check("pipeline.preflight.networks:check_text_tower", frozenset({"text"}), slow=True, follows="recipe"),
    Check("pipeline.preflight.networks:check_method", _TAUGHT, slow=True, follows="recipe"),
    Check("pipeline.preflight.cache:check_room", frozenset({"distill", "reference"}), slow=True),
    Check("pipeline.preflight.embeddings:check", frozenset({"text", "race", "distill"}), slow=True),
    Check("pipeline.preflight.first_step:check_student", _TAUGHT, slow=True, follows="recipe"),
    Check("pipeline.preflight.first_step:check_plain_student", frozenset({"baseline"}), slow=True, follows="recipe"),
    Check("pipeline.preflight.first_step:check_teacher", frozenset({"teacher"}), slow=True, follows="recipe"),
    Check("pipeline.preflight.first_step:check_text", frozenset({"text"}), slow=True),
    Check("pipeline.preflight.exporting:check", _STUDENT, slow=True),
)
"""What also needs the classes and the number of images: made after the stage `data`, before anything is trained."""
