from pipeline.stages.shared.calibration import calibration_in_words, shipped_error

FIGURES = {"images": 1200, "nll_before": 1.5, "nll_after": 1.2, "ece_before": 0.2, "ece_after": 0.03}
APPLIED = {"temperature": 2.5, "fitted": 2.5, "off": None, "splits": {"validation": FIGURES}, "weights_sha256": "0"}
OFF = {**APPLIED, "temperature": 1.0, "off": "it makes the calibration error on validation larger, beyond chance"}


def test_gate_judges_the_probabilities_that_ship() -> None:
    assert shipped_error(0.2, APPLIED) == 0.03
    assert [shipped_error(0.2, OFF), shipped_error(0.2, None), shipped_error(None, None)] == [0.2, 0.2, None]


def test_line_tells_figures_or_why_there_are_none() -> None:
    line = calibration_in_words(APPLIED)
    assert line == (
        "probabilities are calibrated by temperature 2.5: validation (1,200 images) ECE 20.00 → 3.00 %,"
        " NLL 1.500 → 1.200 nats"
    )
    assert "temperature 1, fitted 2.5): it makes" in calibration_in_words(OFF)
