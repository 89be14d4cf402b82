"""A path that is not a bundle is recognised for what it is, and the error says what to type."""

from pathlib import Path

import pytest

from exporters.benchmark.bundle import benchmark_bundle
from exporters.bundle.not_a_bundle import check_is_bundle
from exporters.bundle.verify import verify_bundle
from exporters.client import Student
from exporters.core.errors import GateError, UsageError
from exporters.serving.model import load_bundle

EXPORTED = ("audit.json", "model.onnx", "parity.json", "labels.json", "preprocess.json")
READERS = {
    "verify": verify_bundle,
    "predict": Student.load,
    "benchmark": benchmark_bundle,
    "serve": lambda path: load_bundle(path, "fp32", "cpu"),
}


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("command", READERS)
def test_every_reader_recognises_an_export_folder(tmp_path: Path, command: str) -> None:
    folder = make(tmp_path / "my export", *EXPORTED)
    with pytest.raises(UsageError) as caught:
        READERS[command](folder)
    assert "is the folder of an export, not a bundle" in caught.value.message
    assert "--bundle" in (caught.value.remedy or "") and f"--out '{folder}'" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("names", "path", "message", "remedy"),
    [
        ((*EXPORTED, "bundle/manifest.json"), "", "folder of an export", "Its bundle is {}/bundle."),
        (("recipe.lock.yaml", "bundle/manifest.json"), "", "is a run directory", "Its bundle is {}/bundle."),
        (("recipe.lock.yaml",), "", "is a run directory", "`tmkd-pipeline run` makes one"),
        (("student.json",), "", "is a student's folder", "export {} --data DIR --bundle"),
        (("chosen/student.json",), "", "is a student's folder", "export {}/chosen --data DIR --bundle"),
        (("compare.json",), "", "folder of a comparison", "{}/runs/<arm>/<seed>"),
        (("bundle/manifest.json",), "", "is not a bundle, and holds one", "{}/bundle."),
        (("manifest.json",), "manifest.json", "a file of a bundle", "Give its folder: {}"),
        (("model.onnx",), "model.onnx", "an ONNX file", "--bundle"),
        (("my.bundle.tar",), "my.bundle.tar", "an archive", "tar -xf {}/my.bundle.tar"),
        (("mine.pth",), "mine.pth", "a file of weights", "export {}/mine.pth --model NAME"),
        (("notes.txt",), "notes.txt", "not a folder", "holds manifest.json"),
        ((), "absent", "no such folder", "holds manifest.json"),
    ],
)
def test_other_paths_are_refused_with_a_remedy(
    tmp_path: Path, names: tuple[str, ...], path: str, message: str, remedy: str
) -> None:
    make(tmp_path, *names)
    with pytest.raises(UsageError, match=message) as caught:
        check_is_bundle(tmp_path / path)
    assert remedy.format(tmp_path) in (caught.value.remedy or "") and caught.value.exit_code == 2


@pytest.mark.parametrize("names", [("manifest.json", *EXPORTED), ("MODEL_CARD.md", *EXPORTED), ("model.onnx",)])
def test_damaged_bundle_fails_the_gate(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(GateError, match="damaged or not a bundle"):
        verify_bundle(make(tmp_path, *names))
