from pathlib import Path

from pipeline.data.listing import Listing, Split
from pipeline.data.prepare.prepare import Prepared
from pipeline.data.prepare.report import prepared_json, report_prepared
from tests.pipeline.data.prepare.conftest import Reporter


def test_counts_notes_and_next_commands_are_reported(reporter: Reporter) -> None:
    root = Path("/data/my birds")
    splits = {"train": Split(["a", "b", "c"], [0, 1, 1]), "test": Split(["d"], [0])}
    listing = Listing(root, ["Teal", "teal"], splits, {".txt": 2}, notes=["Two images are black."])  # type: ignore[arg-type]
    report_prepared("cub200", Prepared(listing, root, fetched=False), reporter)
    assert reporter.lines[0] == f"cub200: 2 classes, images: train 3, test 1, in {root}"
    assert reporter.lines[1].startswith("left out: 2 .txt")
    assert reporter.lines[2] == "Two images are black."
    assert "the classes 'Teal' and 'teal' differ" in reporter.lines[3]
    assert reporter.lines[4:] == [
        "everything was there already",
        "next: tmkd-pipeline data inspect cub200 --root '/data/my birds'",
        "      tmkd-pipeline run RECIPE --set data.dataset=cub200 --set data.root='/data/my birds'",
    ]
    found = prepared_json("cub200", Prepared(listing, root, fetched=False))
    assert found.pop("notes") == reporter.lines[2:4]
    assert found == {
        "dataset": "cub200", "root": str(root), "fetched": False, "classes": 2, "images": {"train": 3, "test": 1},
    }  # fmt: skip


def test_fetched_set_with_a_place_of_its_own_needs_no_root(reporter: Reporter) -> None:
    listing = Listing(Path("/cache"), ["teal"], {"train": Split(["a"], [0])})
    report_prepared("birds_demo", Prepared(listing, None, fetched=True), reporter)
    assert reporter.lines == [
        "birds_demo: 1 classes, images: train 1, in /cache",
        "next: tmkd-pipeline data inspect birds_demo",
        "      tmkd-pipeline run RECIPE --set data.dataset=birds_demo",
    ]
