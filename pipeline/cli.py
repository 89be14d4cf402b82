"""The command `tmkd-pipeline`: registers the commands of `pipeline.commands`, each imported when it is used."""

import click

from pipeline import __version__
from pipeline.commands.group import LazyGroup

COMMANDS = {
    "run": "pipeline.commands.run:run",
    "train": "pipeline.commands.train:train",
    "plan": "pipeline.commands.plan:plan",
    "check": "pipeline.commands.check:check",
    "recipes": "pipeline.commands.recipes:recipes",
    "doctor": "pipeline.commands.doctor:doctor",
    "models": "pipeline.commands.models:models",
    "schema": "pipeline.commands.schema:schema",
    "data": "pipeline.commands.data:data",
    "cache": "pipeline.commands.cache:cache",
    "report": "pipeline.commands.report:report",
    "track": "pipeline.commands.track:track",
    "compare": "pipeline.commands.compare:compare",
    "search": "pipeline.commands.search:search",
    "export": "pipeline.commands.export:export",
    "verify": "pipeline.commands.verify:verify",
    "diff": "pipeline.commands.diff:diff",
    "predict": "pipeline.commands.predict:predict",
    "benchmark": "pipeline.commands.benchmark:benchmark",
    "serve": "pipeline.commands.serve:serve",
}
"""Name → where the command is, in the order of `--help`."""


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--debug, anywhere, shows tracebacks.",
)
@click.version_option(__version__, prog_name="tmkd-pipeline")
def cli() -> None:
    """Distil a strong teacher into a small image classifier, and ship only the student.

    First steps: `tmkd-pipeline run quickstart`, then `tmkd-pipeline train PHOTOS` on your own images.

    Exit codes: 0 done, 1 internal error, 2 usage or recipe, 3 a gate failed, 4 something needed is missing here.
    """
