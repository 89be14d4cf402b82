import numpy as np

from pipeline.data.index import IndexedSplit
from pipeline.data.inspection.sizes import BIG, SMALL, odd_sizes
from pipeline.data.path_table import PathTable


def split(prefix: str, sizes: list[tuple[int, int]]) -> IndexedSplit:
    count = len(sizes)
    paths = PathTable.of(f"{prefix}{number}" for number in range(count))
    shape = np.array(sizes, np.int32).reshape(-1, 2)
    return IndexedSplit(paths, np.zeros(count, np.int64), np.zeros((count, 32), np.uint8), shape)


def test_images_far_from_the_median_side_of_all_splits_are_found() -> None:
    train = split("a", [(100, 100)] * 9 + [(25, 25), (26, 26)])
    found = odd_sizes({"train": train, "test": split("b", [(800, 200), (399, 400)])})
    assert found[SMALL].examples == ["a9 (25 x 25)"] and found[SMALL].keys == ["a9"]
    assert found[BIG].examples == ["b0 (800 x 200)"]
    assert odd_sizes({"train": split("a", [])})[SMALL].count == 0
