import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError, UsageError
from pipeline.commands.pages import check_page
from tests.pipeline.conftest import assert_one_clear_error, run_command


def test_page_may_be_a_new_file_or_one_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text("", encoding="utf-8")
    assert check_page(tmp_path / "old.html") is None and check_page(tmp_path / "new" / "page.html") is None


def test_folder_is_refused_before_images_are_read(tmp_path: Path, tiny_data: Path) -> None:
    with pytest.raises(UsageError, match="a folder"):
        check_page(tmp_path)
    outcome = run_command("data", "inspect", tiny_data, "--html", tmp_path, "--sheet", tmp_path / "sheet.png")
    assert_one_clear_error(outcome, 2)
    assert not (tmp_path / "sheet.png").exists()


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec

    def without_jinja2(name: str) -> ModuleSpec | None:
        return None if name == "jinja2" else find_spec(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_jinja2)
    with pytest.raises(UnavailableError, match=r"--html needs jinja2\n"):
        check_page(tmp_path / "page.html")
