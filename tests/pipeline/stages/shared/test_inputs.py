"""What the stages read of each other."""

from pipeline.recipe import load_recipe
from pipeline.stages.names import STAGE_NAMES
from pipeline.stages.registry import STAGES
from pipeline.stages.shared.inputs import read_data
from pipeline.stages.validate import OF_THE_FILE
from tests.pipeline.conftest import Outcome, Run
from tests.pipeline.stages.contexts import context_of


def test_stages_follow_those_that_they_read() -> None:
    assert STAGE_NAMES == (
        "data", "baseline", "teacher", "text", "fusion", "race", "distill", "reference", "validate", "export",
        "parity", "bundle",
    )  # fmt: skip
    for method in ("ce", "kd", "tmkd", "auto"):
        recipe = load_recipe("quickstart", [f"distill.method={method}"]).recipe
        for number, stage in enumerate(STAGES):
            assert set(stage.upstream(recipe)) <= set(STAGE_NAMES[:number])


def test_every_setting_is_a_part_of_some_fingerprint() -> None:
    """A key in no stage's fingerprint would have no effect, or its changes would go unnoticed."""
    asked = ["export.onnx.precision=[fp32, fp16, int8]", "export.tensorrt.when=available"]
    recipe = load_recipe("quickstart", asked).recipe
    covered = {key for stage in STAGES if stage.name != "bundle" for key in stage.parameters(recipe)}
    every = set(next(stage for stage in STAGES if stage.name == "bundle").parameters(recipe))
    # What it is called, where and how fast it runs, how much disk it may take, how often its state is saved, what is
    # told of the data, and what the stage `bundle` itself judges or measures.
    free = {"name", "device", "data.workers", "data.licence", "distill.teacher_cache.max_gb", "bundle.drift"}
    free |= {"train.checkpoint.every_minutes", "train.checkpoint.keep", *OF_THE_FILE}
    assert every - covered - free == set()


def test_data_are_read_at_the_recipes_size(finished: tuple[Run, Outcome]) -> None:
    data = read_data(context_of(finished[0], data__image_size=16, data__resize=20))
    batch = next(data.loader.evaluation_batches("test", data.geometry, 5))
    assert batch.images.shape == (5, 3, 16, 16)
