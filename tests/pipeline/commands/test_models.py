"""The commands `models list` and `models search`."""

from pathlib import Path

import pytest

from exporters.student.architectures.facts import known_networks
from tests.pipeline.conftest import assert_one_clear_error, run_command


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    file = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    return tmp_path


def rows(*arguments: str) -> dict[str, list[str]]:
    outcome = run_command("models", *arguments)
    assert outcome.code == 0, outcome.err
    header, *lines = outcome.out.splitlines()
    assert header.split() == ["name", "parameters", "weights"]
    return {line.split()[0]: line.split()[1:] for line in lines}


def test_list_has_every_network_with_parameters_and_weights() -> None:
    found = rows("list")
    assert list(found) == [network.name for network in known_networks()]
    assert found["resnet18"] == ["11.69", "M", "here"]
    assert found["resnet50"] == ["25.56", "M", "online"]
    assert found["resnet20"] == ["0.28", "M", "-"]


def test_search_ignores_case_and_separators() -> None:
    found = rows("search", "MobileNet-V3_small")
    assert "mobilenet_v3_small" in found and "timm:mobilenetv3_small_100" not in found
    assert all("mobilenetv3small" in name.replace("_", "") for name in found)


def test_source_and_cache_narrow_the_list() -> None:
    assert list(rows("list", "--cached")) == ["resnet18"]
    found = set(rows("search", "resnet18", "--source", "timm"))
    assert found < set(rows("search", "resnet18")) and "timm:resnet18" in found and "resnet18" not in found


def test_nothing_in_the_cache_is_said_on_the_error_stream() -> None:
    outcome = run_command("models", "list", "--cached", "--source", "timm")
    assert outcome.code == 0 and outcome.out == "" and "no published weights" in outcome.err


@pytest.mark.parametrize(("text", "remedy"), [("mobilnet_v3_smal", "mobilenet_v3_small"), ("???", "models list")])
def test_text_that_nothing_has_is_refused(text: str, remedy: str) -> None:
    outcome = run_command("models", "search", text)
    assert_one_clear_error(outcome, 2)
    assert remedy in outcome.err
