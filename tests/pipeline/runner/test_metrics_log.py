import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.runner.metrics_log import damaged_lines, log_epoch


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "damage",
    [
        *(b"{", b"[]", b"3", b"null", b'"text"', b'{"epoch": 1}', b'{"stage": "a"}', b'{"stage": "a", "epoch": "1"}'),
        *(b'{"stage": 3, "epoch": 1}', b'{"stage": "\xff", "epoch": 1}', b"\xff\xfe", b"[" * 10_000),
    ],
)
def test_damaged_line_is_left_out_and_the_others_stay(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for epoch in (1, 2):
        log_epoch(path, "teacher", epoch, {"loss": float(epoch)})
    one, two = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([one, damage, two, damage[:1]]))
    assert damaged_lines(path) == [2, 4]
    log_epoch(path, "distill", 1, {"loss": 7.0})
    assert damaged_lines(path) == []
    assert [(line["stage"], line["epoch"], line["loss"]) for line in lines_of(path)] == [
        ("teacher", 1, 1.0),
        ("teacher", 2, 2.0),
        ("distill", 1, 7.0),
    ]


@pytest.mark.parametrize("cut", [0, 1, 2, 40, 50, 90, 130])
def test_log_that_was_cut_anywhere_goes_on(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"epoch": {epoch}, "loss": 1.0, "stage": "distill"}}\n' for epoch in (1, 2, 3)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size - cut])
    whole = len(lines_of_whole(path))
    log_epoch(path, "distill", 4, {"loss": 1.0})
    assert [line["epoch"] for line in lines_of(path)] == [*range(1, whole + 1), 4]


def lines_of_whole(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.endswith("}")]


def test_log_that_is_not_there_has_no_damage(tmp_path: Path) -> None:
    assert damaged_lines(tmp_path / "metrics.jsonl") == []
