from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from exporters.core.progress import Steps, counted, shown_by, working


class Recorder:
    def __init__(self) -> None:
        self.told: list[object] = []

    @contextmanager
    def track(self, description: str, total: int | None) -> Iterator[Steps]:
        recorder = self

        class Counter:
            def advance(self, steps: int = 1) -> None:
                recorder.told.append(steps)

        self.told.append((description, total))
        try:
            yield Counter()
        finally:
            self.told.append(f"end of {description}")


def test_progress_needs_no_listener() -> None:
    with working("export", 3) as steps:
        steps.advance()
    assert list(counted("abc", "letters", 3)) == ["a", "b", "c"]


def test_work_is_shown_until_its_block_ends() -> None:
    recorder = Recorder()
    with shown_by(recorder.track):
        with working("export"):
            assert list(counted(["ab", "c"], "letters", 3, len)) == ["ab", "c"]
        with pytest.raises(ZeroDivisionError), working("division", 1):
            1 / 0  # noqa: B018
    with working("unseen"):
        pass
    assert recorder.told == [
        ("export", None), ("letters", 3), 2, 1, "end of letters", "end of export", ("division", 1), "end of division",
    ]  # fmt: skip


def test_a_sequence_that_is_left_early_is_shown_no_longer() -> None:
    recorder = Recorder()
    with shown_by(recorder.track):
        letters = counted("abc", "letters", 3)
        assert next(letters) == "a" and next(letters) == "b"
        letters.close()  # type: ignore[attr-defined]
    assert recorder.told == [("letters", 3), 1, "end of letters"]
