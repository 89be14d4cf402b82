from typing import Any

from exporters.core.files import write_json
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.shared.race import decided_recipe, race_table, race_verdict, read_race


def row(candidate: str, top1: float | None, goes_on: bool = False) -> dict[str, Any]:
    interval = None if top1 is None else [max(0.0, top1 - 0.1), min(1.0, top1 + 0.1)]
    return {"candidate": candidate, "validation_top1": top1, "interval": interval, "goes_on": goes_on}


RACE = {
    "winner": "tmkd on logit_std",
    "rungs": [
        {
            "epochs": 27,
            "results": [
                row("ce", 0.5, True), row("kd", 0.625, True), row("dkd", 0.25), row("crd", None),
                row("tmkd on logit_std", 0.55, True),
            ],
        },
        {"epochs": 80, "results": [row("ce", 0.625), row("kd", 0.6), row("tmkd on logit_std", 0.7, True)]},
    ],
}  # fmt: skip
SECONDS = {"ce": [100.0, 1200.0], "kd": [1.0, 2.0], "dkd": [3.0], "crd": [0.5], "tmkd on logit_std": [10.0, 20.0]}


def test_table_has_the_winner_first_and_every_candidate_once() -> None:
    _, columns, rows, words = race_table(RACE, SECONDS)
    assert columns == ["", "27 epochs", "80 epochs", "seconds"] and words == 1
    assert rows == [
        ["tmkd on logit_std", "55.00", "70.00 (60–80)", "30.0"],
        ["ce", "50.00", "62.50 (52–72)", "1,300"],
        ["kd", "62.50", "60.00 (50–70)", "3.0"],
        ["dkd", "25.00", "", "3.0"],
        ["crd", "diverged", "", "0.5"],
    ]


def test_table_fits_sixty_columns() -> None:
    import io

    from rich.console import Console as RichConsole

    from pipeline.tables import fitting_table

    _, columns, rows, words = race_table(RACE, SECONDS)
    out = io.StringIO()
    RichConsole(file=out, width=200).print(fitting_table(columns, rows, words, 60))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 60 and len(lines) == len(rows) + 4  # no cell was wrapped or stacked


def test_verdict_names_the_winner_and_plain_training() -> None:
    assert race_verdict(RACE) == (
        "auto chose tmkd on logit_std among 5 candidates: validation top-1 70.00 % after 80 epochs,"
        " plain training (ce) 62.50 %"
    )
    behind = {"candidate": "tmkd on kd", "validation_top1": 0.6125}
    last = {"epochs": 80, "results": [behind, *RACE["rungs"][-1]["results"]]}
    assert race_verdict({"winner": "tmkd on kd", "rungs": [*RACE["rungs"][:-1], last]}).endswith(
        "validation top-1 61.25 % after 80 epochs, plain training (ce) 62.50 %; as good as the best,"
        " tmkd on logit_std with 70.00 %, within one standard error"
    )
    won_by_plain = RACE | {"winner": "ce"}
    assert race_verdict(won_by_plain).startswith("auto chose plain training (ce) among 5 candidates: validation top-1")


def test_decided_recipe_has_the_winners_method_and_base(tmp_path) -> None:
    run = RunDirectory(tmp_path)
    auto = Recipe.model_validate({"distill": {"method": "auto", "base": "cat_kd"}})
    (tmp_path / "race").mkdir()
    for winner, method, base in (("ce", "ce", "cat_kd"), ("tmkd on kd", "tmkd", "kd"), ("dkd", "dkd", "cat_kd")):
        write_json(tmp_path / "race" / "race.json", {"winner": winner})
        decided = decided_recipe(run, auto)
        assert (decided.distill.method, decided.distill.base) == (method, base)
        assert decided.train == auto.train
    given = Recipe.model_validate({"distill": {"method": "kd"}})
    assert decided_recipe(run, given) is given and read_race(run, given) is None
