import pytest

from pipeline.preflight.batches import single_image_notes
from pipeline.recipe import load_recipe


@pytest.mark.parametrize(
    ("overrides", "stages", "sections"),
    [
        ((), ("teacher", "distill"), []),
        (("train.batch_size=1",), ("teacher", "distill"), ["train.batch_size"]),
        (("train.batch_size=1",), ("teacher",), []),
        (("train.batch_size=1", "student.model=vit_b_16", "student.arguments={}"), ("distill",), []),
    ],
)
def test_networks_with_batch_norms_are_named_where_a_batch_is_one_image(
    overrides: tuple[str, ...], stages: tuple[str, ...], sections: list[str]
) -> None:
    networks = ("student.model=mobilenet_v2", "student.arguments={}")
    recipe = load_recipe("quickstart", [*networks, *overrides]).recipe
    assert [note.partition(":")[0] for note in single_image_notes(recipe, stages)] == sections
