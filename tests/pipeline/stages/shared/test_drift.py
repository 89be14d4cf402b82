"""Histograms of validation, from the images as they are prepared and the sizes that the index has."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from exporters.drift import DriftReference, answer_values, pixel_values
from exporters.drift.reference import value_rows
from pipeline.stages.shared import drift


class Model:
    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.stack([images[:, 0, 0, channel] for channel in range(3)], axis=1).astype(np.float32) / 50


def run(count: int, wanted: bool = True) -> tuple[DriftReference | None, list[str], Any]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 16, 16, 3), np.uint8)
    sizes = random.integers(20, 200, (count, 2)).astype(np.int32)
    asked: list[Any] = []

    def batches(split: str, geometry: str, limit: int) -> Any:
        asked.append((split, geometry, limit))
        for chosen in np.array_split(np.arange(count), 3):
            pixels = torch.from_numpy(images[chosen]).permute(0, 3, 1, 2)
            yield SimpleNamespace(images=pixels, indices=torch.from_numpy(chosen))

    class Split(SimpleNamespace):
        def __len__(self) -> int:
            return count

    said: list[str] = []
    data: Any = SimpleNamespace(
        index=SimpleNamespace(splits={"validation": Split(sizes=sizes)}, classes=["a", "b", "c"]),
        loader=SimpleNamespace(evaluation_batches=batches),
        geometry="the student's",
    )
    context: Any = SimpleNamespace(
        recipe=SimpleNamespace(bundle=SimpleNamespace(drift=wanted)), console=SimpleNamespace(say=said.append)
    )
    found = drift.drift_reference(context, data, Model())  # type: ignore[arg-type]
    assert asked in ([], [("validation", "the student's", 2000)])
    return found, said, (images, sizes)


def test_histograms_are_of_all_images_their_sizes_and_the_answers() -> None:
    found, said, (images, sizes) = run(150)
    values = value_rows(
        pixel_values(images), np.sqrt(sizes.astype(float).prod(axis=1)), answer_values(Model().predict(images))
    )
    assert found == DriftReference.of_values(values, 3) and not said


def test_few_images_or_a_recipe_that_wants_none_give_none() -> None:
    found, said, _ = run(99)
    assert found is None and "it takes 100 validation images, and there are 99" in said[0]
    assert run(150, wanted=False)[:2] == (None, [])
