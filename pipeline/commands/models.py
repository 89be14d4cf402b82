"""The commands `models list` and `models search`."""

import click

from pipeline.commands.group import LazyGroup
from pipeline.commands.options import as_json

SOURCE = click.option(
    "--source", type=click.Choice(["torchvision", "timm", "cifar"]), help="Only networks of this library."
)
CACHED = click.option("--cached", is_flag=True, help="Only networks whose published weights are in the local cache.")


@click.group(cls=LazyGroup)
def models() -> None:
    """Networks that a student or teacher can be."""


@models.command("list")
@SOURCE
@CACHED
@as_json("the list")
def list_models(source: str | None, cached: bool, as_json: bool) -> None:
    """List the networks by name, with parameters and published weights.

    Names are those of `student.model` and `teacher.visual.model`. Parameters are those with 1,000 classes (cifar: 100).
    Weights are `here` (in the local cache), `online`, or `-` where nothing is published.
    """
    _show("", source, cached, as_json)


@models.command("search")
@click.argument("text")
@SOURCE
@CACHED
@as_json("the list")
def search_models(text: str, source: str | None, cached: bool, as_json: bool) -> None:
    """List the networks that have TEXT in their name, as `models list` does.

    Case, dots, dashes and underscores do not matter: mobilenetv3 finds mobilenet_v3_small.
    """
    _show(text, source, cached, as_json)


def _show(text: str, source: str | None, cached: bool, as_json: bool) -> None:
    from exporters.core.errors import UsageError
    from exporters.student.architectures.facts import known_networks
    from exporters.student.architectures.names import nearest_names, plain
    from exporters.student.architectures.weights_cache import WeightsCache

    networks = [network for network in known_networks() if source in (None, network.source)]
    wanted = plain(text) or text
    found = [network for network in networks if wanted in plain(network.name)]
    if not found:
        nearest = nearest_names(text, [network.name for network in networks])
        where = "" if source is None else f" of {source}"
        remedy = f"Nearest: {', '.join(nearest)}." if nearest else "`tmkd-pipeline models list` has all."
        raise UsageError(f"no network{where} has {text!r} in its name", remedy=remedy)
    cache = WeightsCache.look()
    if as_json:
        from pipeline.streams import echo_json

        listed = [
            {
                "name": network.name,
                "source": network.source,
                "parameters": network.parameters,
                "published_weights": network.weights is not None,
                "cached": network.weights is not None and network.weights in cache,
            }
            for network in found
        ]
        echo_json([each for each in listed if each["cached"] or not cached])
        return
    rows = [
        (
            network.name,
            "?" if network.parameters is None else f"{network.parameters / 1e6:.2f} M",
            "-" if network.weights is None else "here" if network.weights in cache else "online",
        )
        for network in found
    ]
    rows = [row for row in rows if row[2] == "here"] if cached else rows
    if not rows:
        click.echo("no published weights of these networks are in the local cache", err=True)
        return
    rows = [("name", "parameters", "weights"), *rows]
    width = max(len(name) for name, _, _ in rows)
    for name, parameters, weights in rows:
        click.echo(f"{name:<{width}}  {parameters:>10}  {weights}")
