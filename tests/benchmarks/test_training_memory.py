from pathlib import Path

import numpy as np
import pytest

from benchmarks.training_memory import BEFORE, compared, draw_records, stage_of, to_markdown
from pipeline.data.readers.cifar import read_cifar10
from tests.pipeline.data.conftest import Data


def test_drawn_images_are_a_cifar10_of_another_size(tmp_path: Path) -> None:
    draw_records(tmp_path, 53)
    listing = read_cifar10(tmp_path, Data(root=str(tmp_path)))
    assert len(listing.splits["train"].paths) == 53 and len(listing.splits["test"].paths) == 1000
    first, second = (
        np.fromfile(tmp_path / "cifar-10-batches-bin" / f"data_batch_{number}.bin", np.uint8).reshape(-1, 3073)
        for number in (1, 4)
    )
    assert (len(first), len(second)) == (11, 10) and second[:, 0].tolist() == list(range(10))


@pytest.mark.parametrize(
    ("log", "stage"),
    [
        ("", BEFORE),
        ("the plan\n│ data │ run │\n", BEFORE),
        ("the plan\n── data: reused\n── teacher\nteacher, validation images: 1/2\n", "teacher"),
    ],
)
def test_stage_is_the_last_one_that_was_printed(log: str, stage: str) -> None:
    assert stage_of(log) == stage


@pytest.mark.parametrize(("more", "verdict"), [(349e6, "holds"), (351e6, "does not hold")])
def test_table_has_every_stage_the_whole_and_the_verdict(more: float, verdict: str) -> None:
    few = {BEFORE: 500_000_000, "teacher": 400_000_000}
    many = {BEFORE: 600_000_000, "teacher": int(few["teacher"] + more)}
    runs = {"10": few, "1000": many}
    table = to_markdown({"runs": runs, **compared(runs)}).splitlines()
    assert table[0] == "| the most memory, MB | 10 images | 1,000 images | more |"
    assert table[2] == f"| {BEFORE} | 500 | 600 | +100 |"
    assert table[3].endswith(f"| {more / 1e6:+.0f} |")
    assert table[4] == f"| the whole command | 500 | {400 + more / 1e6:.0f} | {more / 1e6 - 100:+.0f} |"
    assert table[-1] == f"350 MB more are allowed: {verdict}"
