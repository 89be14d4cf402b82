import json

from exporters.images.preprocessing import Preprocessing
from exporters.onnx.metadata import model_metadata

PREPROCESSING = Preprocessing(32, 36, (0.5,) * 3, (0.2,) * 3)


def test_metadata_are_json_in_the_order_of_their_names() -> None:
    found = model_metadata("tern", "1.2", ["Ærø", "b"], PREPROCESSING, "MIT")
    assert list(found) == ["labels", "licence", "name", "preprocessing", "version"]
    assert found["labels"] == '["Ærø", "b"]' and found["licence"] == '"MIT"' and found["name"] == '"tern"'
    assert json.loads(found["preprocessing"]) == PREPROCESSING.to_json()
    assert "licence" not in model_metadata("tern", "1.2", ["a", "b"], PREPROCESSING, None)
