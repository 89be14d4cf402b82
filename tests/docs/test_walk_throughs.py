"""The how-to pages that add something: followed to the letter in a copy of the project, what they print works."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, name
from tests.docs.walk_through import follow, steps

PAGES = sorted((ROOT / "docs" / "how-to").glob("add-*.md"))
KEPT = ("pipeline", "exporters", "configs", "tests", "pyproject.toml")
AFFECTED = (
    "tests/pipeline/distill/test_registry.py",
    "tests/pipeline/tmkd/test_prompts.py::test_shipped_prompts_are_complete_and_distinct",
    "tests/pipeline/tmkd/views/test_candidates.py",
    "tests/pipeline/tmkd/views/test_settings.py",
    "tests/pipeline/tmkd/views/test_views.py",
)
"""Tests of the registers that the pages add to."""
RECIPE = """
data: {dataset: named_files, root: photos, image_size: 32}
teacher: {visual: {model: resnet18, weights: none, fit: {}}, text: {model: tiny, weights: fit}}
student: {model: "cifar:resnet8"}
distill: {method: tmkd, base: cosine, views: {saturation: {strength: 0.8}}}
export: {onnx: {precision: [fp32, fp16w]}}
track: {to: [csv]}
"""


def test_pages_and_their_steps_are_found() -> None:
    assert {page.stem for page in PAGES} == {"add-dataset", "add-format", "add-method", "add-tracker", "add-view"}
    for page in PAGES:
        kinds = [how for _, how, _, _ in steps(page)]
        assert kinds.count("new") >= 2 and len(kinds) > kinds.count("new"), name(page)  # code, its test, its entry


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A copy of the project in which all pages were followed, and the files that they added."""
    root = tmp_path_factory.mktemp("followed")
    for part in KEPT:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root)
    return root, [path for page in PAGES for path in follow(page, root)]


def test_page_that_was_followed_already_changes_nothing(followed: tuple[Path, list[Path]]) -> None:
    root, new = followed
    edited = {file for page in PAGES for path, *_ in steps(page) for file in root.glob(path)}
    before = {file: file.read_text("utf-8") for file in edited}
    assert [path for page in PAGES for path in follow(page, root)] == new
    assert {file: file.read_text("utf-8") for file in edited} == before


def run(root: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *words]
    outcome = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, f"{' '.join(words)}\n{outcome.stdout[-6000:]}{outcome.stderr[-3000:]}"
    return outcome.stdout


def test_printed_code_keeps_the_style(followed: tuple[Path, list[Path]]) -> None:
    root, new = followed
    places = ["pipeline", "exporters", *(str(path) for path in new)]
    run(root, "ruff", "check", "--no-cache", *places)
    run(root, "ruff", "format", "--no-cache", "--check", *places)


def test_printed_tests_and_those_of_the_registers_pass(followed: tuple[Path, list[Path]]) -> None:
    root, new = followed
    tests = [path.relative_to(root).as_posix() for path in new if path.name.startswith("test_")]
    assert len(tests) == len(PAGES)
    run(root, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests, *AFFECTED)


def test_what_was_added_can_be_asked_for(followed: tuple[Path, list[Path]]) -> None:
    root, _ = followed
    (root / "photos").mkdir(exist_ok=True)
    (root / "my_photos.yaml").write_text(RECIPE)
    assert "no mistakes" in run(root, "pipeline", "check", "my_photos.yaml")
    assert "fp16w" in run(root, "pipeline", "export", "--help")
