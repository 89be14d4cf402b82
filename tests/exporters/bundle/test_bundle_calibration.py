"""Bundles with a temperature: in manifest and card, bounded, used by the client, and nowhere else."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from exporters.bundle.contents import BundleContents
from exporters.bundle.manifest import SCHEMA, temperature_of
from exporters.bundle.manifest_form import malformed
from exporters.bundle.pack import pack
from exporters.bundle.verify import verify_bundle
from exporters.client import Student
from exporters.core.errors import GateError
from tests.exporters.conftest import Exported
from tests.exporters.forging import resealed

FIGURES = {"images": 1200, "nll_before": 1.705, "nll_after": 1.194, "ece_before": 0.2297, "ece_after": 0.0293}
CALIBRATION = {"temperature": 2.63206, "splits": {"validation": FIGURES, "test": {**FIGURES, "images": 3000}}}


@pytest.fixture(scope="module")
def packed_calibrated(contents: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated") / "bundle"
    pack(dataclasses.replace(contents, calibration=CALIBRATION), folder)
    return folder


def test_temperature_is_in_manifest_and_card(packed_calibrated: Path, packed: Path) -> None:
    manifest = verify_bundle(packed_calibrated).manifest
    assert manifest["calibration"] == CALIBRATION and temperature_of(manifest) == 2.63206
    jsonschema.validate(manifest, json.loads(SCHEMA.read_text("utf-8")))
    card = (packed_calibrated / "MODEL_CARD.md").read_text("utf-8")
    assert "`softmax(logits / 2.63206)`" in card and "not calibrated" not in card
    assert "| validation | 1200 | 1.705 | 1.194 | 0.2297 | 0.0293 |\n| test | 3000 |" in card
    for name in manifest["models"]:
        assert (packed_calibrated / name).read_bytes() == (packed / name).read_bytes()


def test_without_a_temperature_nothing_of_a_bundle_knows_of_it(packed: Path) -> None:
    manifest = verify_bundle(packed).manifest
    assert "calibration" not in manifest and temperature_of(manifest) == 1
    card = (packed / "MODEL_CARD.md").read_text("utf-8")
    assert "The probabilities are a softmax of the logits and were not calibrated." in card
    assert "temperature" not in card


def test_client_divides_logits_by_the_temperature(packed_calibrated: Path, packed: Path, cifar: Exported) -> None:
    student, plain = (Student.load(folder, threads=1) for folder in (packed_calibrated, packed))
    logits = student.logits(cifar.images[:1])
    np.testing.assert_array_equal(logits, plain.logits(cifar.images[:1]))
    divided = logits[0].astype(np.float64) / 2.63206
    expected = np.exp(divided) / np.exp(divided).sum()
    found = student.rank(logits[0], top=len(student.labels))
    assert [label for label, _ in found] == [label for label, _ in plain.rank(logits[0], top=len(student.labels))]
    for label, probability in found:
        assert probability == pytest.approx(expected[student.labels.index(label)], abs=1e-12)


def test_temperature_that_is_no_number_is_malformed(packed_calibrated: Path) -> None:
    manifest = json.loads((packed_calibrated / "manifest.json").read_text())
    assert malformed(manifest) is None
    for value in (math.nan, math.inf, -math.inf, True):
        manifest["calibration"]["temperature"] = value
        assert str(malformed(manifest)).startswith("calibration.temperature")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"temperature": 0.01}, "calibration.temperature"),
        ({"temperature": 21}, "calibration.temperature"),
        ({"temperature": "2"}, "calibration.temperature"),
        ({"temperature": None}, "calibration.temperature"),
        ({"note": "x"}, "calibration.note"),
        ({"splits": {"test": {**FIGURES, "ece_after": 1.5}}}, "calibration.splits.test.ece_after"),
        ({"splits": {"test": {**FIGURES, "more": 1}}}, "calibration.splits.test.more"),
        ({"temperature": 1.5}, "MODEL_CARD.md"),
    ],
)
def test_forged_calibration_is_refused(packed_calibrated: Path, tmp_path: Path, change: Any, told: str) -> None:
    bundle = Path(shutil.copytree(packed_calibrated, tmp_path / "bundle"))
    resealed(bundle, lambda manifest: manifest["calibration"].update(change), texts=False)
    with pytest.raises(GateError, match=told):
        verify_bundle(bundle)
