"""The plan in docs/architecture.md is the one that `make lint` enforces for every import."""

import re
import tomllib

import pytest

from tests.docs.markdown import ROOT


def drawn(package: str) -> list[list[str]]:
    """The rooms of each line of the package's plan, from the top."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    block = re.search(rf"^`{package}`, which .+?```text\n(.+?)```", page, re.DOTALL | re.MULTILINE)
    assert block is not None
    return [re.split(r"\s{2,}", line)[0].split(", ") for line in block[1].splitlines()]


def held(package: str) -> list[list[str]]:
    """The layers of the import contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract.get("containers") == [package]]
    return [layer.split(" | ") for layer in layers if layer != "__main__"]


@pytest.mark.parametrize("package", ["pipeline", "exporters"])
def test_plan_is_the_import_contract(package: str) -> None:
    assert drawn(package) == held(package)


@pytest.mark.parametrize("package", ["pipeline", "exporters"])
def test_plan_names_every_package_and_module(package: str) -> None:
    rooms = {
        path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert {room for line in drawn(package) for room in line} == rooms - {"__init__", "__main__"}
