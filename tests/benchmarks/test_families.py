"""Networks of many families: the list, a row that passes, one that is refused, and the table of both."""

import json
from pathlib import Path

import pytest

from benchmarks.matrix import families
from benchmarks.matrix.networks import Network


def test_at_least_forty_distinct_networks_are_tried() -> None:
    names = [network.name for network in families.FAMILIES]
    assert len(names) == len(set(names)) >= 40
    assert set(names) >= families.DO_NOT_GO
    assert {name.partition(":")[0] for name in names} == {"timm", "torchvision"}


def test_finished_rows_are_reused_and_the_table_states_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(families, "FAMILIES", (Network("timm:test_efficientnet_gn"), Network("timm:hiera_tiny_224")))
    refused = {"name": "timm:hiera_tiny_224", "size": 64, "parameters": 26_870_000, "status": "refused"}
    (tmp_path / "timm-hiera_tiny_224.json").write_text(json.dumps({**refused, "reason": "5D queries", "seconds": 1}))
    assert families.main(["--out", str(tmp_path)]) == 0
    passed = json.loads((tmp_path / "timm-test_efficientnet_gn.json").read_text())
    assert passed["status"] == "passed" and passed["recomputed"] > 0 and passed["error"] < 1e-5
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| timm:test_efficientnet_gn | 64 | 0.10 M | ")
    assert lines[3] == "| timm:hiera_tiny_224 | 64 | 26.87 M | **refused**: 5D queries | | | |"


def test_newly_refused_network_gives_exit_code_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "FAMILIES", (Network("timm:test_resnet"),))
    row = {"name": "timm:test_resnet", "size": 160, "parameters": 1, "status": "refused", "reason": "no", "seconds": 1}
    (tmp_path / "timm-test_resnet.json").write_text(json.dumps(row))
    assert families.main(["--out", str(tmp_path)]) == 3
