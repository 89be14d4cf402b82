import numpy as np
import pytest

pytest.importorskip("matplotlib")

from pipeline.report.page.figures.attention import ACROSS, attention_maps
from tests.pipeline.report.page.figures.reading import texts


def test_right_and_wrong_answers_are_marked() -> None:
    pictures = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    found = texts(
        attention_maps(
            pictures, ["ant", "bee"], {"student": np.zeros((2, 2, 2))}, {"student": ["ant", "ant"]},
            {"student": np.array([True, False])},
        )
    )  # fmt: skip
    assert {"✓ ant", "✗ ant", "bee", "image", "student"} <= set(found)


def test_many_networks_stand_below_each_other_each_with_its_name_and_answers() -> None:
    names = [f"arm {number}" for number in range(ACROSS + 1)]
    pictures = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    found = texts(
        attention_maps(
            pictures, ["ant", "bee"], {name: np.zeros((2, 2, 2)) for name in names},
            {name: ["ant", f"answer of {name}"] for name in names},
            {name: np.array([True, False]) for name in names},
        )
    )  # fmt: skip
    assert [text for text in found if text.startswith("arm")] == names
    assert found.count("✓ ant") == len(names) and all(f"✗ answer of {name}" in found for name in names)
