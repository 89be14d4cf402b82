import pytest
from pydantic import ValidationError

from pipeline.recipe.schema.student import StudentSettings


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mean": [0.5, 0.5, 0.5]}, "where @mean is given"),
        ({"sha256": "0" * 64}, "expected null for @weights none"),
        ({"weights": "./a.pt", "weights_key": ""}, "at least 1"),
        ({"weights_key": "ema"}, "expected null for @weights none"),
        ({"model": "resnet19"}, "a model of torchvision, timm or cifar"),
    ],
)
def test_weights_that_are_half_described_are_refused(values: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        StudentSettings.model_validate(values)
