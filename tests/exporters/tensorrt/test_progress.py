import os
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.tensorrt import EngineSettings, build_engine
from exporters.tensorrt.libraries import Library
from exporters.tensorrt.progress import Phases
from tests.exporters.tensorrt.conftest import Models


@settings(deadline=None, max_examples=50)
@given(outer=st.integers(0, 4), inner=st.lists(st.integers(0, 5), max_size=4))
def test_the_share_only_grows_and_ends_at_one(outer: int, inner: list[int]) -> None:
    phases = Phases()
    shares = [phases.start("build", None, outer)]
    for index, steps in enumerate(inner):
        shares.append(phases.start("part", "build", steps))
        shares += [phases.step("part", step) for step in range(steps)]
        shares.append(phases.finish("part"))
        shares.append(phases.step("build", index))
    shares.append(phases.finish("build"))
    assert shares == sorted(shares)
    assert shares[0] == 0 and shares[-1] == 1


def test_a_nested_phase_is_part_of_a_step() -> None:
    phases = Phases()
    phases.start("build", None, 4)
    phases.step("build", 0)
    phases.start("part", "build", 2)
    assert phases.step("part", 0) == pytest.approx(1 / 4 + 1 / 2 / 4)
    phases.finish("part")
    assert phases.step("build", 1) == pytest.approx(1 / 2)
    assert phases.step("never started", 7) == pytest.approx(1 / 2)


@pytest.mark.usefixtures("interrupts_heard")
def test_keyboard_interrupt_ends_a_build(rtx: Library, resnet: Models, tmp_path: Path) -> None:
    shares = []

    def press(phase: str, share: float) -> None:
        shares.append(share)
        if len(shares) == 20:
            os.kill(os.getpid(), signal.SIGINT)

    plan = tmp_path / "a.plan"
    with pytest.raises(KeyboardInterrupt):
        build_engine(resnet.fp32, plan, EngineSettings(), precision="fp32", library=rtx, progress=press)
    assert list(tmp_path.iterdir()) == []
    assert shares == sorted(shares)


def test_error_in_the_progress_callback_ends_a_build(rtx: Library, resnet: Models, tmp_path: Path) -> None:
    def fail(phase: str, share: float) -> None:
        raise OSError("the terminal is gone")

    with pytest.raises(OSError, match="the terminal is gone"):
        build_engine(resnet.fp32, tmp_path / "a.plan", EngineSettings(), precision="fp32", library=rtx, progress=fail)
    assert list(tmp_path.iterdir()) == []
