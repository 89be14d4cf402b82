import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporters.core.errors import TmkdError
from pipeline.cli import cli


def failure(*arguments: str) -> TmkdError:
    error = CliRunner().invoke(cli, ["serve", *arguments]).exception
    assert isinstance(error, TmkdError)
    return error


@pytest.mark.parametrize("package", ["fastapi", "uvloop", "httptools", "python_multipart", "prometheus_client"])
def test_a_missing_package_names_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("exporters.serving", f"{package}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    error = failure("bundle")
    assert error.exit_code == 4
    assert package in error.message
    assert error.remedy == "pip install 'tmkd-pipeline[serve]'"


def test_missing_bundle_or_key_file_is_refused(tmp_path: Path) -> None:
    assert failure(str(tmp_path)).exit_code == 3
    assert failure(str(tmp_path / "none")).exit_code == 2
    assert "key" in failure(str(tmp_path), "--api-key-file", str(tmp_path / "key")).message


def test_help_shows_the_defaults() -> None:
    output = CliRunner().invoke(cli, ["serve", "--help"], terminal_width=100).output
    assert "127.0.0.1" in output
    assert CliRunner().invoke(cli, ["serve", "x", "--port", "70000"]).exit_code == 2
