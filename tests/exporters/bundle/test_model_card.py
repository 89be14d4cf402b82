"""The card: its header as the Hugging Face library reads it, and what it tells people."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from exporters.bundle.contents import BundleContents, BundleFacts
from exporters.bundle.model_card import model_card
from exporters.client import Student
from exporters.images.decoding import open_rgb
from exporters.images.preprocessing import Preprocessing
from tests.exporters.conftest import LABELS
from tests.exporters.odd_images import ODD


@pytest.fixture(scope="module")
def text(packed: Path) -> str:
    return (packed / "MODEL_CARD.md").read_text("utf-8")


def about(facts: BundleFacts) -> dict:
    plain = dataclasses.asdict(facts)
    return {"name": "n: 'x'", "version": "1", "architecture": "a", "parameters": 10, "models": {}, "facts": plain}


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
def test_licences_in_the_words_of_the_hub(
    contents: BundleContents, licence: str | None, expected: dict[str, str]
) -> None:
    card = model_card(about(BundleFacts("a", "b", {"weights": licence})), LABELS, contents.preprocessing, {})
    data = ModelCard(card).data
    assert {key: data.get(key) for key in expected} == expected
    assert data.model_name == "n: 'x'" and data.eval_results is None


def test_the_card_says_what_is_known(text: str) -> None:
    for words in (
        "## Intended use", "## Limits", "## How to reproduce", "| weights | not stated |",
        "| not measured | not stated |",
        "| test top-1 | 0.8125 |", "red-crested finch", "a reconstruction", "resnet50 \\| timm",
        "| fp32 | 20 | 1.00000 |",
        "CC-BY-NC-4.0", "ab" * 32, "tmkd-pipeline run recipe.lock.yaml", "| test images sha256 | " + "ef" * 32,
    ):  # fmt: skip
        assert words in text


def test_every_class_has_a_row_with_its_counts(text: str, contents: BundleContents) -> None:
    table = text.split("## Accuracy of each class\n\n")[1].split("\n\n", maxsplit=1)[0].splitlines()
    assert table[0] == "| class | validation | test |"
    assert [line.split(" | ")[0] for line in table[2:]] == [f"| {label}" for label in LABELS]
    for line, label in zip(table[2:], LABELS, strict=True):
        entry = contents.facts.results["test"]["per_class"][label]
        shown = line.strip("| ").split(" | ")[2]
        if entry["images"]:
            share, counts = shown.rstrip(")").split(" (")
            assert counts == f"{entry['correct']} of {entry['images']}"
            assert float(share) == pytest.approx(entry["correct"] / entry["images"], abs=1e-3)
        else:
            assert shown == "no images"


def test_the_card_with_many_labels_and_few_facts(contents: BundleContents) -> None:
    labels = ["a | b <i>", *(f"class {index}" for index in range(1, 100))]
    card = model_card(about(BundleFacts("a", "b")), labels, contents.preprocessing, contents.parity)
    assert "class 19 and 80 more" in card
    assert "## Data\n\nNot stated." in card and "## Accuracy of each class\n\nNot stated." in card


@pytest.mark.parametrize("odd", ODD)
def test_snippet_of_the_card_gives_the_pixels_of_the_client(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    ODD[odd](tmp_path / "photo.jpg")
    for name in ("model.onnx", "labels.json"):
        (tmp_path / name).symlink_to(packed / name)
    monkeypatch.chdir(tmp_path)
    variables: dict[str, object] = {}
    exec(snippet((packed / "MODEL_CARD.md").read_text()), variables)
    student = Student.load(packed)
    assert capsys.readouterr().out.strip() == student.predict(tmp_path / "photo.jpg")[0][0]
    expected = student.prepare(tmp_path / "photo.jpg")
    np.testing.assert_array_equal(np.asarray(variables["batch"])[0], expected)


@pytest.mark.parametrize("odd", ["tall", "wide", "tiny", "exif 6", "alpha"])
def test_snippet_of_a_bicubic_card(
    contents: BundleContents, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    ODD[odd](tmp_path / "photo.jpg")
    for name in ("model.onnx", "labels.json"):
        (tmp_path / name).symlink_to(packed / name)
    monkeypatch.chdir(tmp_path)
    preprocessing = Preprocessing(32, 41, (0.5,) * 3, (0.2,) * 3, "bicubic")
    card = model_card(about(BundleFacts("a", "b")), contents.labels, preprocessing, contents.parity)
    variables: dict[str, object] = {}
    exec(snippet(card), variables)
    expected = preprocessing.apply(open_rgb(tmp_path / "photo.jpg"))
    np.testing.assert_array_equal(np.asarray(variables["batch"])[0], expected)


def snippet(card: str) -> str:
    return card.split("```python\n")[1].split("```", maxsplit=1)[0]
