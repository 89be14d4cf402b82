"""The command `diff`: a new bundle against an old one on the same labelled images."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import MODEL_NAMES, PATH, PRECISION, PROVIDER, QUIET, as_json, make_console
from pipeline.commands.pages import check_page

if TYPE_CHECKING:
    from exporters.runtimes import Provider

_MODEL = click.Choice(MODEL_NAMES)


@click.command()
@click.argument("old", type=PATH)
@click.argument("new", type=PATH)
@click.option(
    "--data",
    type=PATH,
    metavar="DIR",
    required=True,
    help="Images in a folder for each label.",
)
@click.option("--max-drop", type=float, metavar="POINTS", help="Gate: accuracy that may be lost, in percentage points.")
@click.option(
    "--max-class-drop", type=float, metavar="POINTS", help="Gate: recall that any class may lose, in percentage points."
)
@click.option("--max-slower", type=float, metavar="PERCENT", help="Gate: latency that may be added.")
@click.option("--max-larger", type=float, metavar="PERCENT", help="Gate: size that the model's file may gain.")
@PRECISION
@click.option("--old-precision", type=_MODEL, help="Model of OLD; default: --precision.")
@click.option("--new-precision", type=_MODEL, help="Model of NEW; default: --precision.")
@click.option(
    "--rename", "renames", multiple=True, metavar="OLD=NEW", help="A label of OLD and its name in NEW; repeatable."
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do about an image that cannot be read.",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads, for the latency.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600),
    default=2.0,
    show_default=True,
    help="Approximate time for the latency of each model.",
)
@click.option("--no-latency", is_flag=True, help="Do not measure the latency.")
@PROVIDER
@click.option("--html", "page", type=PATH, metavar="FILE", help="Write a page with the images that changed.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the report as Markdown.")
@QUIET
@as_json("everything that was measured")
def diff(
    old: Path,
    new: Path,
    data: Path,
    max_drop: float | None,
    max_class_drop: float | None,
    max_slower: float | None,
    max_larger: float | None,
    precision: str,
    old_precision: str | None,
    new_precision: str | None,
    renames: tuple[str, ...],
    on_error: str,
    threads: int,
    seconds: float,
    no_latency: bool,
    provider: "Provider",
    page: Path | None,
    as_markdown: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Compare the bundles OLD and NEW on the same labelled images.

    Needs no torch.

    Accuracy, each class, calibration, agreement, latency and size side by side, paired tests, and the images that
    changed from right to wrong. OLD and NEW are bundles, or folders of runs that hold one; the same one twice compares
    two of its models, with --new-precision.

    A gate fails, with exit code 3, where NEW is worse by more than is allowed and worse at all beyond chance.
    """
    from exporters.core.errors import GateError, UsageError
    from exporters.core.progress import shown_by
    from exporters.core.wording import count_of
    from pipeline.diff.bundles import open_bundle
    from pipeline.diff.gates import Allowed, judge
    from pipeline.diff.measure import measure
    from pipeline.diff.report import to_json
    from pipeline.diff.tables import sentences
    from pipeline.streams import echo, echo_json

    if as_json and as_markdown:
        raise UsageError("--json and --markdown were both given", remedy="Take one of them.")
    if no_latency and max_slower is not None:
        raise UsageError("--max-slower needs the latency", remedy="Leave out --no-latency.")
    allowed = Allowed(max_drop, max_class_drop, max_slower, max_larger)
    pairs = _renames(renames)
    if page is not None:
        check_page(page)
    console = make_console(quiet, as_json or as_markdown)
    with shown_by(console.track):
        measured = measure(
            open_bundle(old, old_precision or precision, provider),
            open_bundle(new, new_precision or precision, provider),
            data,
            renames=pairs,
            skip_unreadable=on_error == "skip",
            threads=threads,
            seconds=None if no_latency else seconds,
        )
    verdicts = judge(measured, allowed)
    if page is not None:
        from pipeline.diff.page.write import write_page

        write_page(measured, verdicts, page, console)
    if as_json:
        echo_json(to_json(measured, verdicts))
    elif as_markdown:
        from pipeline.diff.markdown import to_markdown

        echo(to_markdown(measured, verdicts).rstrip("\n"))
    elif quiet:
        console.result(next(sentences(measured)))
    else:
        from pipeline.diff.terminal import report_diff

        report_diff(measured, verdicts, console)
    for message in measured.asked.unreadable:
        echo(message, err=True)
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if failed:
        raise GateError(
            f"{new}: {len(failed)} of {count_of(len(verdicts), 'gate')} failed: "
            + "; ".join(f"{verdict.gate} {verdict.allowed:g}: {verdict.why}" for verdict in failed),
            remedy="The report above has the details"
            + (f", and {page} the images that changed." if page is not None else "; --html FILE shows the images."),
        )


def _renames(given: tuple[str, ...]) -> dict[str, str]:
    from exporters.core.errors import UsageError

    pairs: dict[str, str] = {}
    for text in given:
        old, equals, new = text.partition("=")
        if not (old and equals and new) or old in pairs:
            raise UsageError(
                f"--rename {text!r}: " + ("this label was given before" if old in pairs else "expected OLD=NEW"),
                remedy="--rename 'house cat=cat'",
            )
        pairs[old] = new
    return pairs
