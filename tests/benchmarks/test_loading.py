"""The benchmark of the loader runs and says what it measured; how fast is no affair of a test."""

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.loading import BATCH, GEOMETRY, SIZE, decode_and_resize, draw_photographs, main, to_markdown
from exporters.images.decoding import open_rgb


@pytest.mark.parametrize("workers", ["0", "1"])
def test_it_measures_all_three(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--images", "24", "--workers", workers, "--rounds", "1", "--json"])
    measured = json.loads(capsys.readouterr().out)
    assert measured["workers"] == int(workers)
    assert 0 < measured["images"] < BATCH
    speeds, ratios = measured["images_per_second"], measured["ratio"]
    assert set(speeds) == {"bare", "evaluation", "training"} and all(speed > 0 for speed in speeds.values())
    for kind, ratio in ratios.items():
        assert ratio == pytest.approx(speeds[kind] / speeds["bare"], rel=0.01)
    assert measured["machine"]["packages"]["pillow"]
    told = to_markdown(measured)
    assert f"| loader, training | {speeds['training']:,.0f} | {ratios['training']:.3f} |" in told


def test_folders_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_photographs(tmp_path, 12, width=60, height=50)
    main(["--root", str(tmp_path), "--workers", "0", "--rounds", "1"])
    assert "| bare decode and resize |" in capsys.readouterr().out


def test_the_bare_loop_does_what_the_loader_must_do(tmp_path: Path) -> None:
    draw_photographs(tmp_path, 2)
    for path in tmp_path.rglob("*.jpg"):
        assert decode_and_resize(path) == SIZE * SIZE * 3 == GEOMETRY.apply(open_rgb(path)).nbytes
        assert Image.open(path).size == (500, 375)
        assert 25_000 < path.stat().st_size < 80_000
