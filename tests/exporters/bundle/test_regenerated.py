"""What is made again: the attacks are in `tests/exporters/test_hostile.py`."""

import json
from pathlib import Path

import pytest

from exporters.bundle.documents import read_labels, read_preprocessing
from exporters.bundle.manifest import read_manifest
from exporters.bundle.regenerated import check_card, check_copies, check_metadata, check_regenerated
from exporters.core.errors import GateError
from exporters.onnx.reader import read_onnx


def test_card_of_another_version_is_bound_by_its_header_alone(packed: Path) -> None:
    manifest = read_manifest(packed)
    labels = read_labels((packed / "labels.json").read_bytes())
    preprocessing = read_preprocessing((packed / "preprocess.json").read_bytes())
    parity = json.loads((packed / "parity.json").read_text())
    card = (packed / "MODEL_CARD.md").read_bytes()
    check_card(card, manifest, labels, preprocessing, parity)
    reworded = card.replace(b"## Limits", b"## Bounds")
    with pytest.raises(GateError, match="not what"):
        check_card(reworded, manifest, labels, preprocessing, parity)
    check_card(reworded, {**manifest, "version": "0.0.1"}, labels, preprocessing, parity)
    with pytest.raises(GateError, match="header"):
        check_card(card.replace(b"onnx\n", b"other\n", 1), {**manifest, "version": "0.0.1"}, labels, preprocessing, {})
    with pytest.raises(GateError, match=r"parity\.json: no card"):
        check_card(card, manifest, labels, preprocessing, {"fp32": 3})


def test_texts_copies_and_metadata_of_a_good_bundle_are_what_is_made_again(packed: Path) -> None:
    manifest = read_manifest(packed)
    contents = {name: (packed / name).read_bytes() for name in manifest["files"]}
    labels, preprocessing = read_labels(contents["labels.json"]), read_preprocessing(contents["preprocess.json"])
    check_regenerated(contents, manifest, labels, preprocessing)
    check_copies(manifest)
    model = read_onnx(contents["model.onnx"])
    check_metadata("model.onnx", model, manifest, labels, preprocessing)
    with pytest.raises(GateError, match=r"labels\.json: not the labels that model\.onnx"):
        check_metadata("model.onnx", model, manifest, labels[::-1], preprocessing)
    model.metadata["notes"] = "x"
    with pytest.raises(GateError, match="metadata that no student has: notes"):
        check_metadata("model.onnx", model, manifest, labels, preprocessing)
