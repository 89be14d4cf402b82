"""Stage `data`: read and check every file of the data set, and fix the splits."""

import contextlib
from collections.abc import Mapping
from typing import Any

from exporters.core.wording import count_of, was_or_were
from exporters.images.left_out import describe_left_out
from pipeline.console import Bar, Console
from pipeline.data.indexing import build_index, read_listing
from pipeline.data.listing import listing_digest
from pipeline.data.registry import reader_module
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings


class DataStage(Stage):
    """Writes `data/index.json`, `data/index.npz` and `data/location.json`."""

    name = "data"
    libraries = ("numpy", "pillow")
    local = ("data/location.json",)

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """The first stage."""
        return ()

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """What is read, and how it is split."""
        keys = ("dataset", "labels", "validation", "test", "train_images", "split_seed", "on_error", "image_size")
        return settings(recipe, *(f"data.{key}" for key in keys), "data.resize", "data.on_leak")

    def prepare(self, recipe: Recipe, console: Console) -> None:
        """A data set that is drawn on first use is drawn now, with a bar."""
        with contextlib.ExitStack() as open_bars:
            bars: list[Bar] = []

            def drawn(done: int, total: int) -> None:
                if not bars:
                    console.say(f"{recipe.data.dataset}: {total:,} images are made, once")
                    bars.append(open_bars.enter_context(console.track(f"making {recipe.data.dataset}", total)))
                bars[0].advance()

            read_listing(recipe.data, progress=drawn)

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """Place, names, sizes and times of the files: an unchanged data set is known in a moment, a touched one read
        again.

        What follows depends on the index, which holds the files' content, so that touching or moving alone repeats
        nothing else.
        """
        listing = read_listing(recipe.data)
        name = recipe.data.dataset
        return {f"{name} files": listing_digest(listing), f"the place of {name}": str(listing.root.resolve())}

    def modules(self, recipe: Recipe) -> tuple[str, ...]:
        """The data set's reader."""
        return (reader_module(recipe.data.dataset),)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Build and save the index."""
        data = context.recipe.data
        listing = read_listing(data)
        for note in listing.notes:
            context.console.say(f"{data.dataset}: {note}")
        for doubt in listing.doubts():
            context.console.warn(f"{data.dataset}: {doubt}")
        total = sum(len(split) for split in listing.splits.values())
        with context.console.track("checking images", total) as bar:
            index = build_index(data, listing=listing, progress=lambda done, _total: bar.advance())
        index.save(self.folder(context))
        summary = index.summary()
        splits = ", ".join(f"{name} {counts['images']:,}" for name, counts in summary["splits"].items())
        context.console.say(f"{data.dataset}: {summary['classes']} classes, images: {splits}")
        for name, (found, official) in listing.unofficial().items():
            context.console.warn(f"{data.dataset}: {name} has {found:,} of {official:,} official images")
        if listing.ignored:
            left_out = describe_left_out(listing.ignored, listing.examples)
            context.console.say(f"{data.dataset}: left out: {left_out}")
        if index.skipped:
            context.console.warn(
                f"{count_of(len(index.skipped), 'unreadable image')} {was_or_were(len(index.skipped))} left out;"
                f" data/index.json names {'it' if len(index.skipped) == 1 else 'them'}"
            )
        if index.dropped:
            context.console.warn(
                f"{count_of(len(index.dropped), 'image')} {was_or_were(len(index.dropped))} left out, since another"
                " split has the same (data.on_leak: drop); data/index.json lists them"
            )
        copies = {name: found["duplicates"] for name, found in summary["splits"].items() if found["duplicates"]}
        if copies:
            counts = ", ".join(f"{name} {count:,}" for name, count in copies.items())
            context.console.say(f"copies of images within a split: {counts} (tmkd-pipeline data inspect shows them)")
        return summary | {"official": listing.official} if listing.official else summary
