"""The examples of docs/python.md, run in their order on a data set that can be learnt in seconds."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from pipeline import __all__ as public
from tests.docs.markdown import ROOT, blocks
from tests.pipeline.conftest import CLASSES, Outcome, Run, finished, tiny_data, tiny_recipe

__all__ = ["finished", "tiny_data", "tiny_recipe"]

PAGE = ROOT / "docs" / "python.md"


def test_page_names_what_is_public() -> None:
    (first, *_) = blocks(PAGE, "python")
    (statement,) = ast.parse(first).body
    assert isinstance(statement, ast.ImportFrom) and sorted(name.name for name in statement.names) == sorted(public)


def test_examples_run_in_their_order(
    finished: tuple[Run, Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is finished is reused: the examples' 30 epochs are the two of the run that is there."""
    pytest.importorskip("timm")
    made, _ = finished
    for name in ("photos", "strict"):
        shutil.copytree(made.directory, tmp_path / "runs" / name)
    shutil.copytree(made.data, tmp_path / "photos")
    shutil.copy(made.data / "test" / CLASSES[0] / "00.png", tmp_path / "photo.jpg")
    (tmp_path / "my_photos.yaml").write_text(made.recipe.read_text())
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    printed = []
    for code in blocks(PAGE, "python"):
        quick = re.sub(r'("train.epochs": )30', r"\g<1>2", code).replace("seeds=2", "seeds=1")
        exec(compile(quick, str(PAGE), "exec"), scope)
        printed.append(capsys.readouterr().out)
    _, recipe, mistakes, ran, gate, bundle, comparison, exported = printed
    assert recipe.startswith("<recipe tiny from my_photos.yaml, train.epochs=2") and "cifar:resnet8" in recipe
    assert [line.partition(":")[0] for line in mistakes.splitlines()[:3]] == [
        "recipe",
        "recipe",
        "overrides train.lr=-1",
    ]
    assert "distill: reused" in ran and "runs/photos/bundle" in ran
    assert "validate.min_top1" in gate and gate.splitlines()[-1].endswith(" 3")
    assert "model.onnx" in bundle and any(name.replace("_", " ") in bundle for name in CLASSES)
    assert "ce" in comparison and "exported" not in comparison
    assert exported.splitlines()[-1].startswith("['model.onnx'] ")
