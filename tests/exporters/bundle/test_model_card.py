"""The card: what it says to people."""

from pathlib import Path

import numpy as np
import pytest

from exporters.bundle.contents import BundleContents, BundleFacts
from exporters.bundle.model_card import model_card
from exporters.client import Student
from exporters.images.decoding import open_rgb
from exporters.images.preprocessing import Preprocessing
from tests.exporters.bundle.cards import about
from tests.exporters.conftest import LABELS
from tests.exporters.odd_images import ODD


@pytest.fixture(scope="module")
def text(packed: Path) -> str:
    return (packed / "MODEL_CARD.md").read_text("utf-8")


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


def test_card_abbreviates_labels_and_states_missing_facts(contents: BundleContents) -> None:
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
def test_snippet_of_a_bicubic_card_gives_the_preprocessed_pixels(
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
