from pathlib import Path

import numpy as np
import pytest

from benchmarks.training_memory import draw_records, to_markdown
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


@pytest.mark.parametrize(("difference", "verdict"), [(349e6, "holds"), (351e6, "does not hold")])
def test_table_has_both_runs_and_the_verdict(difference: float, verdict: str) -> None:
    runs = {"10": {"prepared": 1e6, "trained": 2e6}, "1000": {"prepared": 3e6, "trained": 2e6 + difference}}
    table = to_markdown({"runs": runs, "difference": difference, "holds": difference < 350e6})
    assert "| 1,000 | 3 |" in table and table.endswith(f"350 allowed: {verdict}")
