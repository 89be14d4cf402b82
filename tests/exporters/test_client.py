import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exporters.bundle.manifest import seal
from exporters.client import Student
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.images.decoding import UnreadableImageError
from exporters.runtimes import TorchRuntime

from .conftest import LABELS, Exported
from .student.test_cam import by_hand


@pytest.fixture(scope="module")
def student(packed: Path) -> Student:
    return Student.load(packed, threads=1)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 41, 3), np.uint8)).save(path)
    return path


def test_every_kind_of_source_gives_the_same(student: Student, photo: Path) -> None:
    with Image.open(photo) as image:
        pixels = np.asarray(image)
    sources = [photo, str(photo), photo.read_bytes(), Image.open(photo), pixels]
    first, *others = [student.predict(source) for source in sources]
    assert all(other == first for other in others)
    assert len(first) == 5
    assert {label for label, _ in first} <= set(LABELS)


def test_probabilities_are_those_of_the_torch_student(student: Student, photo: Path, cifar: Exported) -> None:
    logits = TorchRuntime(cifar.student).predict(student.prepare(photo)[None])[0].astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum()
    found = student.predict(photo, top=7)
    assert sum(probability for _, probability in found) == pytest.approx(1)
    assert [label for label, _ in found] == [LABELS[index] for index in np.argsort(-expected)]
    for label, probability in found:
        assert probability == pytest.approx(expected[LABELS.index(label)], abs=1e-5)


def test_logits_of_a_batch_match_the_student(student: Student, cifar: Exported) -> None:
    np.testing.assert_allclose(student.logits(cifar.images), cifar.logits, atol=1e-4)


def test_bad_images_are_refused(student: Student, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=r"none\.jpg"):
        student.predict(tmp_path / "none.jpg")
    for array in (np.zeros((3, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(UsageError, match="image array"):
            student.predict(array)


@pytest.mark.parametrize("name", ["model.onnx", "labels.json", "preprocess.json", "manifest.json"])
def test_damaged_files_are_not_loaded(packed: Path, tmp_path: Path, name: str) -> None:
    bundle = Path(shutil.copytree(packed, tmp_path / "bundle"))
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(GateError, match=name):
        Student.load(bundle)


def test_unsupported_preprocessing_is_refused(packed: Path, tmp_path: Path) -> None:
    from exporters.core.files import sha256_bytes

    bundle = Path(shutil.copytree(packed, tmp_path / "bundle"))
    good = (bundle / "preprocess.json").read_bytes()
    other = good.replace(b'"RGB"', b'"BGR"')
    (bundle / "preprocess.json").write_bytes(other)
    manifest = (
        (bundle / "manifest.json").read_bytes().replace(sha256_bytes(good).encode(), sha256_bytes(other).encode())
    )
    (bundle / "manifest.json").write_bytes(manifest)
    (bundle / "manifest.sha256").write_bytes(seal(manifest))
    with pytest.raises(GateError, match=r"preprocess\.json.*colour_order"):
        Student.load(bundle)


def test_missing_bundle_or_provider_is_refused(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    with pytest.raises(UsageError):
        Student.load(tmp_path / "none")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UnavailableError):
        Student.load(packed, provider="cuda")


def test_torch_is_not_imported(packed: Path, photo: Path) -> None:
    code = (
        "import sys; from exporters.client import Student; Student.load(sys.argv[1]).predict(sys.argv[2]); "
        "assert not {'torch', 'onnx', 'pipeline'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(packed), str(photo)], check=True)


def test_missing_precision_is_refused(packed: Path) -> None:
    assert Student.load(packed, precision="fp32").labels == LABELS
    with pytest.raises(UsageError, match="no int8 model"):
        Student.load(packed, precision="int8")


def test_explanation_is_the_map_of_the_first_label_over_the_photo(
    packed_with_cam: Path, photo: Path, cifar: Exported
) -> None:
    student = Student.load(packed_with_cam, threads=1)
    found = student.explain(photo, top=2)
    assert found.labels == student.predict(photo, top=2)
    expected = by_hand(cifar, student.prepare(photo)[None])[1][0]
    np.testing.assert_allclose(found.cam, expected, atol=1e-4 * np.abs(expected).max())
    assert found.picture.size == (205, 300)  # 41 by 60, enlarged 5 times
    with Image.open(photo) as image:
        plain = np.asarray(image.resize((205, 300), Image.Resampling.NEAREST))
    differs = (np.asarray(found.picture) != plain).any(axis=(1, 2))
    assert differs[150] and not differs[0] and not differs[-1]  # the crop leaves out what is above and below


def test_bundle_without_maps_says_how_to_get_them(student: Student, photo: Path) -> None:
    with pytest.raises(UnavailableError, match="gives no class activation maps") as caught:
        student.explain(photo)
    assert caught.value.remedy is not None and "--set export.onnx.cam=true" in caught.value.remedy


def test_answer_tells_whether_the_image_is_known(packed_with_known: Path, photo: Path, cifar: Exported) -> None:
    student = Student.load(packed_with_known, threads=1)
    energies = np.log(np.exp(cifar.logits.astype(np.float64)).sum(axis=1))
    found = [student.answer_of(logits) for logits in cifar.logits]
    np.testing.assert_allclose([each.score or 0 for each in found], energies, rtol=1e-12)
    known = [found[place].known for place in np.argsort(energies)]
    # The threshold is the fourth smallest score by another path, which may be off by its last bit.
    assert known[:3] == [False] * 3 and known[4:] == [True] * 16
    whole = student.answer(photo, top=3)
    assert whole == student.answer_of(student.logits(student.prepare(photo)[None])[0], top=3)
    assert whole.labels == student.predict(photo, top=3)


def test_bundle_without_a_score_does_not_tell(student: Student, photo: Path) -> None:
    found = student.answer(photo)
    assert (found.labels, found.known, found.score) == (student.predict(photo), None, None)
