"""The command `doctor`: what this machine can do, and what is missing for what."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import OVERRIDES, as_json, make_console
from pipeline.streams import echo, echo_json

if TYPE_CHECKING:
    from pipeline.doctor.finding import Finding


@click.command()
@click.argument("recipe", required=False)
@OVERRIDES
@click.option("--network", is_flag=True, help="Also ask servers for published weights that RECIPE needs.")
@as_json("the report")
def doctor(recipe: str | None, overrides: tuple[str, ...], network: bool, as_json: bool) -> None:
    """Report what this machine can do, and what RECIPE lacks here.

    Each line is ok, a note about what only some work needs, or a fault with what to do. Exits with 4 where there is a
    fault. Nothing is fetched, and without --network no server is asked.
    """
    from exporters.core.errors import UnavailableError, UsageError
    from exporters.core.wording import count_of
    from pipeline.doctor.diagnosis import diagnose
    from pipeline.recipe import load_recipe

    if recipe is None and overrides:
        raise UsageError("--set changes a recipe, and none is given", remedy="tmkd-pipeline doctor RECIPE --set …")
    warn = make_console(False, as_json).warn
    loaded = None if recipe is None else load_recipe(recipe, overrides).warned(warn)
    findings: list[Finding] = []
    for finding in diagnose(None if loaded is None else loaded.recipe, network=network):
        findings.append(finding)
        if not as_json:
            echo("\n".join(_lines(finding)))
    faults = [finding for finding in findings if finding.state == "fault"]
    if as_json:
        report = {"healthy": not faults, "findings": [finding.to_json() for finding in findings]}
        echo_json(report)
    if faults:
        raise UnavailableError(
            f"{count_of(len(faults), 'fault')}: {', '.join(finding.about for finding in faults)}",
            remedy="What to do stands with each of them.",
        )
    if not as_json:
        echo("no faults")


def _lines(finding: "Finding") -> Sequence[str]:
    """A finding as lines of text."""
    first = f"{finding.state:<5}  {finding.about}: {finding.found}"
    below = [f"       {text}" for text in (finding.means, finding.remedy) if text and finding.state != "ok"]
    return [first, *below]
