import numpy as np
import pytest

from exporters.onnx import intermediates
from exporters.onnx.intermediates import Intermediates, largest_values
from tests.exporters.onnx.planting import chain
from tests.exporters.onnx.test_deviation import IMAGES, WEIGHTS, values_of


def test_largest_values_are_those_of_the_definition() -> None:
    expected = {"cast": float(IMAGES.max())} | {name: np.abs(value).max() for name, value in values_of(WEIGHTS).items()}
    assert largest_values(chain(WEIGHTS), IMAGES) == pytest.approx(expected, rel=1e-5)


def test_value_that_is_not_finite_is_infinite() -> None:
    largest = largest_values(chain([WEIGHTS[0] * 1e38, WEIGHTS[1] * 1e38, WEIGHTS[2]]), IMAGES)
    assert largest["product1"] == np.inf and np.isfinite(largest["mean"])


def test_values_are_computed_in_groups_that_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Intermediates(chain(WEIGHTS))
    assert model.groups(model.values) == [model.values]
    monkeypatch.setattr(intermediates, "_RUN_BYTES", 50)  # two values of six numbers
    groups = model.groups(model.values)
    assert len(groups) > 1 and [value for group in groups for value in group] == model.values
    (first, *_) = model.run(["relu0"], IMAGES)
    np.testing.assert_allclose(first["relu0"], values_of(WEIGHTS)["relu0"][:1], rtol=1e-5)
