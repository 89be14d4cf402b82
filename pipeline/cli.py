"""The commands; each is a few lines, and imports what is heavy only when it runs."""

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import __version__
from pipeline.commands.data import data
from pipeline.commands.export import export
from pipeline.commands.options import OVERRIDES
from pipeline.commands.serve import serve
from pipeline.stages.registry import STAGE_NAMES

if TYPE_CHECKING:
    from exporters.runtimes import Provider

RECIPE = click.argument("recipe")
RUN_DIRECTORY = click.option(
    "--run-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where files go; default: runs/<recipe name>."
)
PROVIDER = click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda", "tensorrt"]),
    default="cpu",
    show_default=True,
    help="Where ONNX Runtime runs; one that is not there is an error.",
)
STAGE = click.Choice(STAGE_NAMES)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog="--debug, anywhere, shows tracebacks.")
@click.version_option(__version__, prog_name="tmkd-pipeline")
def cli() -> None:
    """Distil a strong teacher into a small image classifier, and ship only the student.

    First steps: `tmkd-pipeline run quickstart`, then `tmkd-pipeline recipes copy cub_mobilenet my.yaml`.

    Exit codes: 0 done, 1 internal error, 2 usage or recipe, 3 a gate failed, 4 something needed is missing here.
    """


@cli.command()
@RECIPE
@OVERRIDES
@RUN_DIRECTORY
@click.option("--until", type=STAGE, help="Stop after this stage.")
@click.option("--force", type=STAGE, help="Run this stage again even if nothing changed.")
def run(recipe: str, overrides: tuple[str, ...], run_dir: Path | None, until: str | None, force: str | None) -> None:
    """Run every stage of RECIPE to a verified bundle.

    Finished stages are reused; an interrupted run goes on where it was. RECIPE is a path, or the name of a recipe that
    ships (`tmkd-pipeline recipes list`).
    """
    from pipeline.console import Console
    from pipeline.recipe import load_recipe
    from pipeline.report.summary import show_summary
    from pipeline.runner.engine import execute
    from pipeline.runner.rundir import RunDirectory
    from pipeline.stages.registry import STAGES

    loaded = load_recipe(recipe, overrides)
    directory = RunDirectory(run_dir or Path("runs") / loaded.recipe.name)
    console = Console()
    execute(STAGES, loaded.recipe, directory, console, until=until, force=force)
    if until is None or until == STAGES[-1].name:
        show_summary(directory, loaded.recipe, console)
    else:
        console.say(f"Stopped after {until}, as asked. Files are in {directory.path}.")


@cli.command()
@RECIPE
@OVERRIDES
@RUN_DIRECTORY
@click.option("--force", type=STAGE, help="Plan as `run --force` would.")
def plan(recipe: str, overrides: tuple[str, ...], run_dir: Path | None, force: str | None) -> None:
    """Show which stages of RECIPE are cached, and why one must run again, without running any."""
    from pipeline.console import Console
    from pipeline.recipe import load_recipe
    from pipeline.runner.engine import plan as make_plan
    from pipeline.runner.rundir import RunDirectory
    from pipeline.stages.registry import STAGES

    loaded = load_recipe(recipe, overrides)
    directory = RunDirectory(run_dir or Path("runs") / loaded.recipe.name)
    rows = [
        [planned.stage, planned.action, "; ".join(planned.why)]
        for planned in make_plan(STAGES, loaded.recipe, directory, force)
    ]
    Console().table(f"{loaded.recipe.name} in {directory.path}", ["stage", "action", "why"], rows, words=3)


@cli.command()
@RECIPE
@click.option("--methods", default="ce,kd,cat_kd,tmkd", show_default=True, metavar="NAMES", help="What is compared.")
@click.option("--bases", metavar="NAMES", help="What tmkd plugs into; default: the recipe's distill.base.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="How many, from the recipe's.")
@click.option(
    "--ablate", metavar="SWITCHES", help="Turn these of tmkd's on the first base: views, weighting, contrast."
)
@click.option("--weightings", metavar="NAMES", help="What --ablate weighting turns to; default: all that can be had.")
@OVERRIDES
@click.option("--run-dir", type=click.Path(path_type=Path), metavar="DIR", help="Default: runs/<recipe name>-compare.")
def compare(
    recipe: str,
    methods: str,
    bases: str | None,
    seeds: int,
    ablate: str | None,
    weightings: str | None,
    overrides: tuple[str, ...],
    run_dir: Path | None,
) -> None:
    """Train the student of RECIPE under several methods and seeds, and tell what makes a difference.

    Names are separated by commas. Every run is an ordinary run directory; an interrupted comparison goes on where it
    was, and more seeds or methods add to it. Gates of the recipe are told, not enforced.
    """
    from pipeline.comparison.arms import Source
    from pipeline.comparison.compare import compare as run_comparison
    from pipeline.console import Console

    run_comparison(
        Source(recipe, overrides),
        methods=_names(methods) or (),
        bases=_names(bases),
        seeds=seeds,
        ablate=_names(ablate),
        weightings=_names(weightings),
        folder=run_dir,
        command=["tmkd-pipeline", *sys.argv[1:]],
        console=Console(),
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


@cli.command()
@RECIPE
@OVERRIDES
def check(recipe: str, overrides: tuple[str, ...]) -> None:
    """Tell all mistakes of RECIPE at once; data are not touched."""
    from pipeline.recipe import load_recipe

    loaded = load_recipe(recipe, overrides)
    click.echo(f"{loaded.path}: no mistakes")


@cli.command()
@click.option(
    "--of",
    type=click.Choice(["recipe", "manifest"]),
    default="recipe",
    show_default=True,
    help="A recipe, or the manifest.json of a bundle.",
)
def schema(of: str) -> None:
    """Print the JSON Schema of recipes, for editors; or that of a bundle's manifest, for its readers."""
    from exporters.files import dump_json
    from exporters.manifest import SCHEMA
    from pipeline.recipe.json_schema import recipe_json_schema

    text = SCHEMA.read_text(encoding="utf-8") if of == "manifest" else dump_json(recipe_json_schema())
    click.echo(text, nl=False)


@cli.group()
def recipes() -> None:
    """The recipes that ship with the package."""


@recipes.command("list")
def list_recipes() -> None:
    """List the recipes, each with its first line."""
    from pipeline.recipe.catalog import find_recipe, recipe_names

    names = recipe_names()
    width = max(map(len, names), default=0)
    for name in names:
        first = find_recipe(name).read_text(encoding="utf-8").splitlines()[0]
        click.echo(f"{name:<{width}}  {first.lstrip('# ')}")


@recipes.command("show")
@click.argument("name")
def show_recipe(name: str) -> None:
    """Print the recipe NAME."""
    from pipeline.recipe.catalog import find_recipe

    click.echo(find_recipe(name).read_text(encoding="utf-8"), nl=False)


@recipes.command("copy")
@click.argument("name")
@click.argument("dest", type=click.Path(path_type=Path))
def copy_recipe(name: str, dest: Path) -> None:
    """Copy the recipe NAME to the file or folder DEST, what it extends put in; an existing file is left alone."""
    from exporters.errors import UsageError
    from exporters.files import write_text
    from pipeline.recipe.catalog import find_recipe
    from pipeline.recipe.flatten import flat_text

    source = find_recipe(name)
    target = dest / source.name if dest.is_dir() else dest
    if target.exists():
        raise UsageError(f"{target} exists already", remedy="Choose another name, or remove it first.")
    text = flat_text(source)
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", target.stem):
        # Runs go to runs/<name>: a copy of another name must not run over the original's.
        text = re.sub(r"(?m)^name: \S+", f"name: {target.stem}", text, count=1)
    write_text(target, text)
    click.echo(f"{target}\nnext: tmkd-pipeline run {shlex.quote(str(target))}")


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Images in folders called as the labels: the accuracy is measured again on them.",
)
def verify(bundle: Path, data: Path | None) -> None:
    """Prove that BUNDLE is whole: hashes, golden vectors, and nothing but the student inside.

    With --data, also that each of its models is as accurate as the bundle says.
    """
    from exporters.accuracy import verify_accuracy
    from exporters.verify import verify_bundle

    report = verify_bundle(bundle)
    click.echo(
        f"{bundle}: verified. {report.files} files ({report.size / 1e6:.2f} MB) as packed; {report.tensors} tensors,"
        f" all the student's own; {report.golden_images} golden images reproduced, largest error of the logits' scale: "
        + ", ".join(f"{name} {error:.1e}" for name, error in report.golden_errors.items())
    )
    if data is not None:
        click.echo(f"{data}: {verify_accuracy(bundle, report.manifest, data).describe()}")


def _numbers(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a list of whole numbers such as 1,4,16") from error


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--batches", default="1,4,16,64", show_default=True, callback=_numbers, help="Images a call.")
@click.option("--threads", callback=_numbers, help="Of the CPU; default: 1, and as many as there are cores.")
@click.option("--seconds", type=float, default=1.0, show_default=True, help="For each runtime and setting, about.")
@click.option(
    "--student", type=click.Path(path_type=Path), metavar="DIR", help="Of torch eager; default: that of the run around."
)
@click.option("--providers", default="cpu", show_default=True, metavar="NAMES", help="Of cpu, cuda and tensorrt.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Default: BUNDLE.benchmark.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def benchmark(
    bundle: Path,
    batches: tuple[int, ...],
    threads: tuple[int, ...] | None,
    seconds: float,
    student: Path | None,
    providers: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure every model of BUNDLE against torch eager: latency, throughput, memory.

    Runtimes take turns, each in a process of its own. Numbers and names are separated by commas. A provider that does
    not run here is an error.
    """
    from exporters.benchmark.bundle import benchmark_bundle
    from exporters.benchmark.report import report_folder, write_report
    from exporters.files import dump_json
    from pipeline.console import Console
    from pipeline.report.benchmark import tell_benchmark

    folder = report_folder(bundle, out)
    console = Console(sys.stderr if as_json else None)
    with console.track("measuring", None) as bar:
        result = benchmark_bundle(
            bundle,
            batches=batches,
            threads=threads,
            seconds=seconds,
            student=student,
            providers=_names(providers) or (),
            progress=lambda _done, _total: bar.advance(),
        )
    tell_benchmark(result, folder, write_report(result, folder), console)
    if as_json:
        click.echo(dump_json(result), nl=False)


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many labels.")
@click.option("--precision", default="fp32", show_default=True, help="Which of the bundle's models.")
@PROVIDER
def predict(bundle: Path, images: tuple[Path, ...], top: int, precision: str, provider: "Provider") -> None:
    """Print the most probable labels of IMAGES, with ONNX Runtime alone."""
    from exporters.client import Student

    student = Student.load(bundle, provider=provider, precision=precision)
    for image in images:
        click.echo(f"{image}")
        for label, probability in student.predict(image, top=top):
            click.echo(f"  {100 * probability:6.2f} %  {label}")


cli.add_command(data)
cli.add_command(export)
cli.add_command(serve)
