"""The header of the card, as the Hugging Face library reads it."""

from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from exporters.bundle.contents import BundleContents, BundleFacts
from exporters.bundle.model_card import model_card
from tests.exporters.bundle.cards import about
from tests.exporters.conftest import LABELS


@pytest.fixture(scope="module")
def text(packed: Path) -> str:
    return (packed / "MODEL_CARD.md").read_text("utf-8")


def test_the_hub_reads_the_header(text: str) -> None:
    data = ModelCard(text).data
    assert data.license == "unknown" and data.library_name == "onnx" and data.pipeline_tag == "image-classification"
    assert data.model_name == "finches" and {"onnx", "knowledge-distillation"} <= set(data.tags)
    assert data.metrics == ["accuracy"]
    found = {result.dataset_split: result for result in data.eval_results}
    assert {split: result.metric_value for split, result in found.items()} == {"validation": 0.9, "test": 0.65}
    for result in found.values():
        assert (result.task_type, result.dataset_name, result.metric_type) == (
            "image-classification",
            "birds",
            "accuracy",
        )


def test_the_header_is_safe_yaml_and_ends_before_the_title(text: str) -> None:
    _empty, header, body = text.split("---\n", 2)
    assert yaml.safe_load(header)["model-index"][0]["name"] == "finches"
    assert body.lstrip().startswith("# finches\n")


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        (None, {"license": "unknown"}),
        ("CC-BY-NC-4.0", {"license": "cc-by-nc-4.0"}),
        ("GPL-3.0-only", {"license": "gpl-3.0"}),
        ("LicenseRef-own", {"license": "other", "license_name": "licenseref-own"}),
        ("MIT OR Apache-2.0", {"license": "other", "license_name": "mit or apache-2.0"}),
    ],
)
def test_licences_are_written_as_the_hub_expects(
    contents: BundleContents, licence: str | None, expected: dict[str, str]
) -> None:
    card = model_card(about(BundleFacts("a", "b", {"weights": licence})), LABELS, contents.preprocessing, {})
    data = ModelCard(card).data
    assert {key: data.get(key) for key in expected} == expected
    assert data.model_name == "n: 'x'" and data.eval_results is None
