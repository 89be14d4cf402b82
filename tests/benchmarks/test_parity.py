"""The parity benchmark runs and reports what it measured; speed itself is not tested."""

import json

import pytest

from benchmarks.parity import main, to_markdown


def test_torch_onnxruntime_and_parity_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--model", "shufflenet_v2_x0_5", "--size", "32", "--images", "300", "--rounds", "1", "--json"])
    measured = json.loads(capsys.readouterr().out)
    assert (measured["images"], measured["rounds"], measured["size"]) == (300, 1, 32)
    seconds = measured["seconds"]
    assert set(seconds) == {"torch", "onnxruntime", "parity"} and all(value > 0 for value in seconds.values())
    expected = seconds["parity"] / (seconds["torch"] + seconds["onnxruntime"])
    assert measured["ratio"] == pytest.approx(expected, rel=0.02)
    assert f"{measured['ratio']:.3f}" in to_markdown(measured)
