"""The command `benchmark`: how fast a bundle's models are."""

from pathlib import Path

import click

from pipeline.commands.options import BUNDLE, PATH, PROVIDER_NAMES, QUIET, as_json, make_console, renamed
from pipeline.commands.types import Names, Numbers, flattened

NUMBERS = Numbers()
PROVIDERS = Names(*PROVIDER_NAMES)


@click.command()
@BUNDLE
@click.option("--batches", default="1,4,16,64", show_default=True, type=NUMBERS, help="Images per call.")
@click.option("--threads", type=NUMBERS, help="CPU threads; default: 1, and the number of cores.")
@click.option(
    "--seconds", type=float, default=1.0, show_default=True, help="Approximate time for each runtime and setting."
)
@click.option("--student", type=PATH, metavar="DIR", help="Student for torch eager; default: that of BUNDLE's run.")
@click.option(
    "--provider",
    "providers",
    type=PROVIDERS,
    multiple=True,
    help="Where ONNX Runtime runs; an error if it is not available. Default: cpu.",
)
@renamed("--providers", to="--provider", kind=PROVIDERS)
@click.option("--out", type=PATH, metavar="DIR", help="Default: BUNDLE.benchmark.")
@QUIET
@as_json("the figures")
def benchmark(
    bundle: Path,
    batches: tuple[int, ...],
    threads: tuple[int, ...] | None,
    seconds: float,
    student: Path | None,
    providers: tuple[tuple[str, ...], ...],
    old_providers: tuple[tuple[str, ...], ...],
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure latency, throughput and memory of BUNDLE's models.

    Torch eager is measured for comparison. Runtimes take turns, each in a process of its own. Separate numbers and
    names by commas. A provider that is not available here is an error. Exits with 3 where BUNDLE is damaged.
    """
    from exporters.benchmark.bundle import benchmark_bundle
    from exporters.benchmark.report import report_folder, write_report
    from pipeline.report.benchmark import report_benchmark
    from pipeline.streams import echo_json

    folder = report_folder(bundle, out)
    console = make_console(quiet, as_json)
    with console.track("measuring", None) as bar:
        result = benchmark_bundle(
            bundle,
            batches=batches,
            threads=threads,
            seconds=seconds,
            student=student,
            providers=flattened((*providers, *old_providers)) or ("cpu",),
            progress=bar.reach,
        )
    report_benchmark(result, folder, write_report(result, folder), console)
    if as_json:
        echo_json(result)
    elif quiet:
        console.result(str(folder))
