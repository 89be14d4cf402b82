"""What is reported of a data set that has been prepared."""

import shlex
from typing import Any

from exporters.images.left_out import describe_left_out
from pipeline.data.listing import SPLITS
from pipeline.data.prepare.prepare import Prepared
from pipeline.data.prepare.reporting import Reporter


def report_prepared(name: str, prepared: Prepared, reporter: Reporter) -> None:
    """Counts, place, and the next commands to type."""
    listing = prepared.listing
    counts = ", ".join(f"{split} {len(listing.splits[split]):,}" for split in SPLITS if split in listing.splits)
    reporter.say(f"{name}: {len(listing.classes):,} classes, images: {counts}, in {listing.root}")
    if listing.ignored:
        reporter.say(f"left out: {describe_left_out(listing.ignored, listing.examples)}")
    for line in (*listing.notes, *listing.doubts()):
        reporter.say(line)
    if not prepared.fetched:
        reporter.say("everything was there already")
    place = "" if prepared.root is None else shlex.quote(str(prepared.root))
    reporter.say(f"next: tmkd-pipeline data inspect {name}" + (f" --root {place}" if place else ""))
    root = f" --set data.root={place}" if place else ""
    reporter.say(f"      tmkd-pipeline run RECIPE --set data.dataset={name}{root}")


def prepared_json(name: str, prepared: Prepared) -> dict[str, Any]:
    """The same for a program.

    Returns:
        {"dataset", "root": what `data.root` must be, None where the set has a place of its own, "fetched": whether
        anything was done, "classes": how many, "images": split → how many, "notes": lines}.
    """
    listing = prepared.listing
    return {
        "dataset": name,
        "root": None if prepared.root is None else str(prepared.root),
        "fetched": prepared.fetched,
        "classes": len(listing.classes),
        "images": {split: len(listing.splits[split]) for split in SPLITS if split in listing.splits},
        "notes": [*listing.notes, *listing.doubts()],
    }
