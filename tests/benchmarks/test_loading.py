"""The loader benchmark runs and reports what it measured; speed itself is not tested."""

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.loading import BATCH, GEOMETRY, SIZE, decode_and_resize, draw_photographs, main, to_markdown
from exporters.images.decoding import open_rgb


@pytest.mark.parametrize("workers", ["0", "1"])
def test_bare_loop_and_both_loaders_are_measured(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--images", "24", "--workers", workers, "--rounds", "1", "--json"])
    measured = json.loads(capsys.readouterr().out)
    assert measured["workers"] == int(workers)
    assert 0 < measured["images"] < BATCH
    speeds, ratios = measured["images_per_second"], measured["ratio"]
    assert set(speeds) == {"bare", "evaluation", "training"} and all(speed > 0 for speed in speeds.values())
    for kind, ratio in ratios.items():
        assert ratio == pytest.approx(speeds[kind] / speeds["bare"], rel=0.01)
    assert measured["machine"]["packages"]["pillow"]
    table = to_markdown(measured)
    assert f"| loader, training | {speeds['training']:,.0f} | {ratios['training']:.3f} |" in table


def test_own_image_folder_can_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_photographs(tmp_path, 12, width=60, height=50)
    main(["--root", str(tmp_path), "--workers", "0", "--rounds", "1"])
    assert "| bare decode and resize |" in capsys.readouterr().out


def test_bare_loop_does_the_same_work_as_the_loader(tmp_path: Path) -> None:
    draw_photographs(tmp_path, 2)
    for path in tmp_path.rglob("*.jpg"):
        assert decode_and_resize(path) == SIZE * SIZE * 3 == GEOMETRY.apply(open_rgb(path)).nbytes
        assert Image.open(path).size == (500, 375)
        assert 25_000 < path.stat().st_size < 80_000
