"""The commands `cache list` and `cache prune`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exporters.core.wording import byte_count
from pipeline.commands.group import LazyGroup
from pipeline.commands.options import PATH, as_json
from pipeline.streams import echo, echo_json

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.tmkd.cache_folders import CacheFolder


@click.group(cls=LazyGroup)
def cache() -> None:
    """List and remove what is kept of the teachers' outputs."""


def _places(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--all", "everything", is_flag=True, help="Those of every directory in runs/.")(command)
    return click.argument("run_dir", type=PATH, required=False)(command)


@cache.command("list")
@_places
@as_json("the list")
def list_caches(run_dir: Path | None, everything: bool, as_json: bool) -> None:
    """List the teacher caches of RUN_DIR, the directory of a run or a comparison.

    For each its key, its size, what it was made from, its age, and the runs that use it.
    """
    found = _find(run_dir, everything)
    if as_json:
        echo_json([_described(folder) for folder in found])
        return
    if not found:
        echo("no teacher caches", err=True)
        return
    for folder in found:
        now = ", in use now" if folder.is_in_use else ""
        echo(f"{folder.key}  {byte_count(folder.bytes)}, last used {_ago(folder.last_used)}{now}")
        echo(f"  of {_made_from(folder)}")
        for use in folder.uses:
            echo(f"  used by {use.run}")
    echo(f"{byte_count(sum(folder.bytes for folder in found))} in all")


@cache.command("prune")
@_places
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Only the cache of this key; repeatable.")
@click.option(
    "--unused-for", type=click.IntRange(min=0), metavar="DAYS", help="Only caches that no run has used for so long."
)
@click.option("--yes", is_flag=True, help="Remove them; else they are only named.")
@as_json("what was removed, or would be")
def prune_caches(
    run_dir: Path | None, everything: bool, keys: tuple[str, ...], unused_for: int | None, yes: bool, as_json: bool
) -> None:
    """Remove the teacher caches of RUN_DIR, the directory of a run or a comparison.

    Without --yes it says what would be removed. A cache that a run is using stays. What is removed is computed again
    when a run needs it, and no result changes.
    """
    from datetime import UTC, datetime, timedelta

    from exporters.core.errors import UnavailableError, UsageError

    found = _find(run_dir, everything)
    if missing := [key for key in keys if key not in {folder.key for folder in found}]:
        raise UsageError(
            f"--key: there is no cache {', '.join(missing)}", remedy="`tmkd-pipeline cache list` has all keys."
        )
    if keys:
        found = [folder for folder in found if folder.key in keys]
    if unused_for is not None:
        latest = datetime.now(UTC) - timedelta(days=unused_for)
        found = [folder for folder in found if folder.last_used <= latest]
    freed, going, kept = 0, [], []
    for folder in found:
        size, name, described = folder.bytes, f"{folder.path} ({byte_count(folder.bytes)})", _described(folder)
        if folder.is_in_use:
            echo(f"kept, because a run is using it: {name}", err=as_json)
            kept.append(described)
            continue
        if yes:
            try:
                folder.remove()
            except UnavailableError as error:  # a run has begun to use it meanwhile
                echo(f"kept: {error.message}", err=as_json)
                kept.append(described)
                continue
        echo(f"{'removed' if yes else 'would be removed'}: {name}", err=as_json)
        freed += size
        going.append(described)
    if yes or not going:
        echo(f"{byte_count(freed)} freed" if going else "nothing to remove", err=as_json)
    else:
        echo(f"{byte_count(freed)} in all; add --yes to remove them", err=as_json)
    if as_json:
        echo_json({"removed": yes, "bytes": freed, "caches": going, "kept": kept})


def _find(run_dir: Path | None, everything: bool) -> "list[CacheFolder]":
    from exporters.core.errors import UsageError
    from pipeline.tmkd.cache_folders import cache_folders

    if (run_dir is None) != everything:
        raise UsageError("name the directory of a run or a comparison, or else give --all for those in runs/")
    if run_dir is None:
        directories = sorted(Path("runs").glob("*"))
    elif run_dir.is_dir():
        directories = [run_dir]
    else:
        raise UsageError(
            f"{run_dir}{' is a file, not the directory of a run' if run_dir.exists() else ': no such directory'}",
            remedy="Run directories are in runs/, unless --run-dir said so.",
        )
    return [folder for directory in directories for folder in cache_folders(directory / "cache")]


def _described(folder: "CacheFolder") -> dict[str, Any]:
    return {
        "path": str(folder.path),
        "kind": folder.kind,
        "key": folder.key,
        "bytes": folder.bytes,
        "about": folder.about,
        "last_used": folder.last_used.isoformat(),
        "runs": [str(use.run) for use in folder.uses],
        "in_use": folder.is_in_use,
    }


def _made_from(folder: "CacheFolder") -> str:
    about = folder.about
    if not about:
        return f"{folder.kind}: not known"
    epochs = f"{about['epochs']} epochs, seed {about['augmentation_seed']}, " if "epochs" in about else "whole images, "
    return (
        f"{about['teacher']} on {about['images']:,} images of {about['data']} at {about['image_size']} px,"
        f" {epochs}{about['precision']} on {about['device']}, kept as {about['storage']}"
    )


def _ago(then: "datetime") -> str:
    from datetime import UTC, datetime

    hours = (datetime.now(UTC) - then).total_seconds() / 3600
    if hours < 1:
        return f"{max(0, round(60 * hours))} min ago"
    return f"{hours:.0f} h ago" if hours < 48 else f"{hours / 24:.0f} days ago"
