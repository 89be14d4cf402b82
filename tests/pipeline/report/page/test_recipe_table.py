from pathlib import Path

from pipeline.recipe import load_recipe
from pipeline.report.page.recipe_table import recipe_rows


def test_recipe_lists_what_is_not_at_its_default(tiny_recipe: Path) -> None:
    rows = {key: (value, default) for key, value, default in recipe_rows(load_recipe(tiny_recipe).recipe)}
    assert rows["seed"] == ("3", "0")
    assert rows["train.epochs"][0] == "2"
    assert rows["teacher.visual.fit.views"] == ("false", rows["teacher.visual.fit.views"][1])
    assert rows["validate.min_top1"] == ("0.0", "null")
    assert "data.augment.flip" not in rows and "train.batch_size" in rows
