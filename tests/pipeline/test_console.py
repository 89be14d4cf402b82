import io

import pytest

from pipeline import console as module
from pipeline.console import Console

AWKWARD = "runs/[bold]x[/bold] [1, 2] :bird: 50 % C:\\x [/a]"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_texts_are_shown_as_they_stand() -> None:
    out = io.StringIO()
    console = Console(out)
    console.say(AWKWARD)
    console.heading(AWKWARD)
    console.warn(AWKWARD)
    assert out.getvalue().splitlines() == [AWKWARD, f"── {AWKWARD}", f"WARNING: {AWKWARD}"]


def test_a_line_is_one_line_however_long() -> None:
    out = io.StringIO()
    Console(out).say("word " * 200)
    assert out.getvalue().count("\n") == 1


def test_tables_hold_any_text() -> None:
    out = io.StringIO()
    Console(out).table(AWKWARD, ["[name]", "value"], [["[red]a", "1"], ["b", AWKWARD]])
    lines = out.getvalue().splitlines()
    assert lines[0].rstrip() == AWKWARD
    cells = [[cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in lines]
    assert ["[name]", "value"] in cells and ["[red]a", "1"] in cells and ["b", AWKWARD] in cells


def test_plain_wherever_there_is_no_terminal_or_ci_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Console(io.StringIO()).plain and not Console(Terminal()).plain
    assert Console(Terminal(), plain=True).plain
    monkeypatch.setenv("CI", "1")
    assert Console(Terminal()).plain


def test_plain_output_has_no_control_codes() -> None:
    out = Terminal()
    console = Console(out, plain=True)
    console.warn("careful")
    console.heading("stage")
    console.table("title", ["a"], [["b"]])
    with console.track("work", 3) as bar:
        bar.advance(3)
    assert "\x1b" not in out.getvalue() and "work" not in out.getvalue()


def test_long_plain_work_tells_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with Console(out).track("student 1/2", 100) as bar:
        for step in range(8):
            now[0] = 10.0 * (step + 1)
            bar.show(loss=1.23456, accuracy=0.5)
            bar.advance(2)
        assert bar.seconds == 80
    assert out.getvalue().splitlines() == [
        "student 1/2: 8/100 loss 1.235 accuracy 0.5", "student 1/2: 16/100 loss 1.235 accuracy 0.5"
    ]  # fmt: skip


def test_a_terminal_has_a_bar_that_goes_away() -> None:
    out = Terminal()
    console = Console(out)
    with console.track("student 1/2", 40) as bar:
        bar.advance(10)
        bar.show(loss=0.25)
        bar.advance(30)
    console.say("done")
    text = out.getvalue()
    assert "student 1/2" in text and "40/40" in text and "loss 0.25" in text
    # What stands last, after every erased line, is the line that follows.
    assert text.rstrip("\n").rpartition("\x1b[2K")[2] == "done"


def test_a_pass_is_one_line_of_figures() -> None:
    out = io.StringIO()
    metrics = {"loss": 1.5, "loss_ce": 0.5, "loss_logits": 1.0, "validation_top1": 0.625, "images_per_second": 99.6}
    Console(out).passed("student", 3, 12, metrics)
    assert out.getvalue() == (
        "student  3/12  loss 1.5000  validation top-1 62.50 %  (ce 0.500  logits 1.000)  100 images/s\n"
    )


@pytest.mark.parametrize(("total", "told"), [(10_000_000, "a.tgz: 2.5 of 10.0 MB"), (None, "a.tgz: 2.5 MB")])
def test_downloads_are_told_in_megabytes(monkeypatch: pytest.MonkeyPatch, total: int | None, told: str) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with Console(out).track("a.tgz", total, unit="bytes") as bar:
        now[0] = 31.0
        bar.advance(2_500_000)
    assert out.getvalue() == f"{told}\n"


def test_a_download_on_a_terminal_has_a_bar() -> None:
    out = Terminal()
    with Console(out).track("a.tgz", 10_000_000, unit="bytes") as bar:
        bar.advance(2_500_000)
    assert "2.5/10.0 MB" in out.getvalue()
