from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from exporters.images.outputs import MARKER, is_output, mark_output


def test_a_new_or_empty_folder_is_marked_and_one_with_files_is_not(tmp_path: Path) -> None:
    mark_output(tmp_path / "new/deep")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.png").touch()
    assert is_output(tmp_path / "new/deep") and is_output(tmp_path / "new") and not is_output(tmp_path)
    mark_output(tmp_path / "mine")
    assert not is_output(tmp_path / "mine") and not (tmp_path / "mine" / MARKER).exists()


def test_the_working_directory_is_never_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mark_output(Path())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("names", "output"),
    [
        (("recipe.lock.yaml", "stages/data.json"), True),
        (("manifest.json", "manifest.sha256"), True),
        (("compare.json", "compare.md", "compare.png"), True),
        (("model.onnx", "preprocess.json", "labels.json"), True),
        (("benchmark.json", "benchmark.md", "benchmark.png"), True),
        (("model.onnx", "preprocess.json", "labels.json", "cat.jpg"), False),
        (("runs/recipe.yaml", "stages/a.png"), False),
        (("rejected/parity.json", "rejected/model.onnx"), True),
        (("manifest.json", "cat.jpg"), False),
        ((), False),
    ],
)
def test_outputs_are_recognised_by_their_files(tmp_path: Path, names: tuple[str, ...], output: bool) -> None:
    for name in names:
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).touch()
    (tmp_path / "x").mkdir(exist_ok=True)
    assert is_output(tmp_path / "x") == output


def test_unwritable_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"file: cannot be written \(File exists\)"):
        mark_output(tmp_path / "file")
