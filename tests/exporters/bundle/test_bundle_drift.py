"""Bundles with histograms of validation: listed, bounded, read back, and no place to hide anything in."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from exporters.bundle.contents import BundleContents
from exporters.bundle.documents import read_drift
from exporters.bundle.layout import allowed_files
from exporters.bundle.manifest import SCHEMA
from exporters.bundle.pack import pack
from exporters.bundle.verify import verify_bundle
from exporters.core.files import dump_json
from exporters.drift import DriftReference
from tests.exporters.drift.streams import draw
from tests.exporters.forging import failure, resealed

REFERENCE = DriftReference.of_values(draw(np.random.default_rng(0), 300, 7), 7)


@pytest.fixture(scope="module")
def with_drift(contents: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with_drift") / "bundle"
    pack(dataclasses.replace(contents, drift=REFERENCE), folder)
    return folder


@pytest.fixture
def bundle(with_drift: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(with_drift, tmp_path / "bundle"))


def test_histograms_are_packed_described_and_verified(with_drift: Path, packed: Path) -> None:
    manifest = verify_bundle(with_drift).manifest
    assert manifest["drift"] == {"images": 300}
    assert allowed_files(manifest) == set(manifest["files"]) and "drift.json" in manifest["files"]
    assert read_drift((with_drift / "drift.json").read_bytes(), manifest) == REFERENCE
    jsonschema.validate(manifest, json.loads(SCHEMA.read_text("utf-8")))
    others = {path.relative_to(packed) for path in packed.rglob("*") if not path.name.startswith("manifest.")}
    for name in others:
        if (packed / name).is_file():
            assert (with_drift / name).read_bytes() == (packed / name).read_bytes(), name


def test_without_histograms_nothing_of_a_bundle_knows_of_them(packed: Path) -> None:
    manifest = json.loads((packed / "manifest.json").read_text())
    assert "drift" not in manifest and "drift.json" not in manifest["files"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: value.update(note="hidden"), "drift.json: has other keys"),
        (lambda value: value["statistics"]["class"]["counts"].append(0), "class needs the counts of 7 bins"),
        (lambda value: value["statistics"]["score"]["counts"].reverse(), ""),
    ],
)
def test_forged_histograms_are_refused_where_they_are_none(
    bundle: Path, change: Callable[[Any], None], said: str
) -> None:
    value = json.loads((bundle / "drift.json").read_bytes())
    change(value)
    (bundle / "drift.json").write_bytes(dump_json(value).encode())
    if said:
        resealed(bundle)
        assert said in failure(bundle)
    else:  # not resealed: the hash alone tells
        assert "drift.json" in failure(bundle)


def test_manifest_and_file_agree_on_the_images(bundle: Path) -> None:
    resealed(bundle, lambda manifest: manifest["drift"].update(images=301))
    assert "300 images, and manifest.json tells of 301" in failure(bundle)


def test_file_and_key_come_together(bundle: Path) -> None:
    resealed(bundle, lambda manifest: manifest.pop("drift"))
    assert "lists drift.json, which no such bundle has" in failure(bundle)
