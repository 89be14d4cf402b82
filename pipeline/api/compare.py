"""`compare`: one student under several methods and seeds; the command of that name calls the same function."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.api.recipe import CheckedRecipe, checked
from pipeline.api.shown import Shown
from pipeline.api.wording import for_python, names_of

if TYPE_CHECKING:
    from pipeline.comparison.arms import Source
    from pipeline.console import Console

_COLUMNS = ("arm", "reference", "test top-1, %", "validation top-1, %", "difference", "95 %")


@dataclass(frozen=True, repr=False)
class Comparison:
    """What a comparison found.

    Attributes:
        recipe: its name.
        run_dir: where its files and its runs are.
        headline: what can and what cannot be told apart, in sentences.
        arms: of each arm `name`, `method`, `base`, its `seeds`, and `test`, `validation` and `difference` with mean,
            standard deviation and interval, as shares of 1: what `compare.json` holds.
        weaknesses: what a reader must know against it.
        report: the page `report.html`; None where none was written.
        found: the whole of `compare.json`.
    """

    recipe: str
    run_dir: Path
    headline: list[str]
    arms: list[dict[str, Any]]
    weaknesses: list[str]
    report: Path | None
    found: dict[str, Any] = field(compare=False)

    def __repr__(self) -> str:
        """The table of the arms, as a comparison ends in a terminal."""
        return self._shown().text()

    def _repr_html_(self) -> str:
        return self._shown().html()

    def _shown(self) -> Shown:
        title = f"{self.recipe}: {len(self.arms)} arms, in {self.run_dir} (mean ± std over seeds)"
        from pipeline.comparison.text import without_marks

        said = [without_marks(sentence) for sentence in self.headline]
        return Shown(title, _COLUMNS, [_row(arm) for arm in self.arms], words=2, lines=[*said, *self.weaknesses])


def compare(
    recipe: CheckedRecipe | str | Path | Mapping[str, Any],
    *,
    methods: Sequence[str] = ("ce", "kd", "cat_kd", "tmkd"),
    seeds: int = 3,
    bases: Sequence[str] | None = None,
    ablate: Sequence[str] | None = None,
    weightings: Sequence[str] | None = None,
    run_dir: str | Path | None = None,
    report: bool = True,
    quiet: bool = False,
) -> Comparison:
    """Train the same student under several methods and seeds, and report what can and what cannot be told apart.

    The recipe's gates are reported, not enforced. Interrupted and called again, it goes on where it was; called with
    more methods or seeds, it adds to what is there.

    Args:
        recipe: of `load_recipe`, or what that takes; its seed is the first.
        methods: names of methods.
        seeds: how many of each, 1 or more.
        bases: what `tmkd` extends; default: the recipe's `distill.base`.
        ablate: parts of `tmkd` to vary on the first base: `views`, `weighting`, `contrast`.
        weightings: to try with `ablate=["weighting"]`; default: all available.
        run_dir: where everything goes; default: `runs/<recipe name>-compare`.
        report: whether `report.html` is written.
        quiet: print nothing but warnings, on standard error.

    Raises:
        UsageError: the recipe's mistakes, or arguments that make no comparison.
        GateError: a run did not come through; its `report` is the `Comparison` of the others, None without any.
        UnavailableError: something needed is missing, or another comparison works in `run_dir`.
    """
    from pipeline.comparison.arms import Source
    from pipeline.console import Console

    given = checked(recipe)
    with for_python(compare):
        _check_seeds(seeds)
        names = [None if each is None else names_of(each) for each in (methods, bases, ablate, weightings)]
        asked = dict(zip(("methods", "bases", "ablate", "weightings"), names, strict=True))
        folder = None if run_dir is None else Path(run_dir).expanduser()
        return execute_comparison(
            Source(given.source, given.changes),
            run_dir=folder,
            methods=asked["methods"] or (),
            seeds=seeds,
            bases=asked["bases"],
            ablate=asked["ablate"],
            weightings=asked["weightings"],
            command=_command(given, asked, seeds, folder),
            report=report,
            console=Console(quiet=quiet),
        )


def execute_comparison(
    source: "Source",
    *,
    methods: Sequence[str],
    seeds: int,
    bases: Sequence[str] | None,
    ablate: Sequence[str] | None,
    weightings: Sequence[str] | None,
    run_dir: Path | None,
    command: Sequence[str],
    report: bool,
    console: "Console",
) -> Comparison:
    """Do what `compare` and the command do.

    Args:
        source: the recipe.
        methods, seeds, bases, ablate, weightings, run_dir, report: as `compare` takes them.
        command: the command line, for the report.
        console: for what a person should see.

    Raises:
        TmkdError: as `compare`; the `report` of a GateError is the comparison of what came through.
    """
    from exporters.core.errors import GateError
    from pipeline.comparison.compare import compare as run_comparison

    source.warn(console.warn)
    folder = run_dir or Path("runs") / f"{source.load().name}-compare"
    try:
        run_comparison(
            source,
            methods=methods,
            bases=bases,
            seeds=seeds,
            ablate=ablate,
            weightings=weightings,
            folder=folder,
            command=command,
            page=report,
            console=console,
        )
    except GateError as error:
        error.report = read_comparison(folder)
        raise
    found = read_comparison(folder)
    assert found is not None
    return found


def read_comparison(folder: Path) -> Comparison | None:
    """What a comparison wrote into its folder; None as long as no run of it came through."""
    from exporters.core.files import read_json
    from pipeline.report.outcome import PAGE

    path, page = folder / "compare.json", folder / PAGE
    if not path.is_file():
        return None
    found = read_json(path)
    return Comparison(
        found["recipe"]["name"],
        folder,
        list(found["headline"]),
        list(found["arms"]),
        list(found["weaknesses"]),
        page if page.is_file() else None,
        found,
    )


def _check_seeds(seeds: int) -> None:
    from exporters.core.errors import UsageError

    if type(seeds) is not int or seeds < 1:
        raise UsageError(f"--seeds: expected a whole number of 1 or more, got {seeds!r}")


def _command(
    recipe: CheckedRecipe, names: Mapping[str, Sequence[str] | None], seeds: int, folder: Path | None
) -> list[str]:
    """The command that does the same, for the report; of a recipe without a file, what was called."""
    if isinstance(recipe.source, Mapping):
        return ["pipeline.compare"]
    words = ["tmkd-pipeline", "compare", str(recipe.source)]
    for option, given in names.items():
        words += [] if given is None else [f"--{option}", ",".join(given)]
    words += ["--seeds", str(seeds)]
    for change in recipe.changes:
        words += ["--set", change.text]
    return words if folder is None else [*words, "--run-dir", str(folder)]


def _row(arm: Mapping[str, Any]) -> list[str]:
    from pipeline.comparison.text import NONE, difference, interval, spread
    from pipeline.evaluation.paired import Spread

    top1 = [spread(Spread(**arm[split]["chosen"])) for split in ("test", "validation")]
    if arm["difference"] is None:
        return [arm["name"], arm["reference"] or NONE, *top1, NONE, NONE]
    paired = arm["difference"]["chosen"]
    shown = difference(Spread(paired["mean"], paired["std"], len(paired["seeds"])))
    return [arm["name"], arm["reference"] or NONE, *top1, shown, interval(tuple(paired["interval"]))]
