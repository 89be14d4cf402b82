import io
import itertools
import re
import threading

import pytest

from pipeline.console import Console
from pipeline.console import console as module

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


def test_texts_are_shown_verbatim() -> None:
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


@pytest.mark.parametrize(("width", "lines"), [(60, 4), (120, 6)])
def test_tables_fit_the_terminal(width: int, lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = Terminal()
    Console(out).table("title", ["runtime", "images per second", "milliseconds"], [["torch-CPU", "9" * 30, "1" * 30]])
    shown = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert len(shown) == lines + (width == 60) and max(map(len, shown)) <= width
    assert any("9" * 30 in line for line in shown) and any("1" * 30 in line for line in shown)


def test_a_row_is_one_line_away_from_a_terminal() -> None:
    out = io.StringIO()
    Console(out).table("title", ["a", "b"], [["9" * 100, "1" * 100]])
    assert f"│ {'9' * 100} │ {'1' * 100} │" in out.getvalue().splitlines()


def test_output_is_plain_without_a_terminal_or_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_long_plain_work_reports_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with Console(out).track("student 1/2", 100) as bar:
        for step in range(8):
            now[0] = 10.0 * (step + 1)
            bar.show(**{"loss": 1.23456, "top-1 %": 50.0})
            bar.advance(2)
        assert bar.seconds == 80
    lines = out.getvalue().splitlines()
    left = ["8:10", "8:00", "7:50", "7:40", "7:30", "7:20", "7:10", "7:00"]  # 5 s a step
    assert lines == [
        f"student 1/2: {2 * n}/100, loss 1.235, top-1 50 %, {each} left" for n, each in enumerate(left, start=1)
    ]


def test_no_silence_is_longer_than_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    console = Console(out)
    said: list[float] = [0.0]
    for second in range(0, 121):
        now[0] = float(second)
        if second == 5:  # what was silent before there was a bar counts too
            tracked = console.track("loading", None)
            tracked.__enter__()
        if second == 100:
            console.say("a line")
        before = out.getvalue()
        console.beat()
        if out.getvalue() != before:
            said.append(now[0])
    tracked.__exit__(None, None, None)
    assert max(later - earlier for earlier, later in itertools.pairwise(said)) <= 10
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["loading: 4 s so far", "loading: 13 s so far"] and lines[-3:] == [
        "a line", "loading: 104 s so far", "loading: 113 s so far",
    ]  # fmt: skip


def test_nested_plain_work_is_reported_after_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    console = Console(out)
    with console.track("export", None), console.track("int8: try 2 of at most 16", None):
        now[0] = 15.0
        console.say("a line")
        now[0] = 22.0
        console.beat()
        now[0] = 24.0
        console.beat()
        with console.track("images", 500) as images:  # nothing of its own was ever silent for so long
            now[0] = 40.0
            images.advance(128)
    assert out.getvalue().splitlines() == [
        "a line", "export, int8: try 2 of at most 16: 24 s so far",
        "export, int8: try 2 of at most 16, images: 128/500, 0:47 left",
    ]  # fmt: skip


def test_single_long_step_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENCE", -1.0)
    reported = threading.Event()
    console = Console(io.StringIO())
    monkeypatch.setattr(console, "say", lambda line: reported.set() if line.startswith("loading") else None)
    with console.track("loading", None):
        assert reported.wait(timeout=60)


def test_work_within_work_has_a_line_each_on_a_terminal() -> None:
    out = Terminal()
    console = Console(out)
    with console.track("export", None):
        with console.track("int8: try 2", None), console.track("images", 500) as images:
            images.advance(128)
            assert console._display is not None
            console._display.refresh()  # it would be drawn ten times a second
        console.say("between")
        with console.track("a.tgz", 10_000_000, unit="bytes") as steps:
            steps.advance(2_500_000)
            console._display.refresh()
    console.say("done")
    text = out.getvalue()
    for shown in ("export", "int8: try 2", "128/500", "between", "2.5/10.0 MB"):
        assert shown in text
    assert "0/?" not in text and text.rstrip("\n").rpartition("\x1b[2K")[2] == "done"


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_the_number_of_steps_may_become_known_later(kind: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    out = kind()
    with Console(out).track("measuring", None) as bar:
        now[0] = 21.0
        bar.reach(3, 8)
    assert "3/8" in out.getvalue()


def test_work_that_fails_leaves_no_bar() -> None:
    out = Terminal()
    console = Console(out)
    with pytest.raises(ValueError, match="no"), console.track("export", None), console.track("inner", 3):
        raise ValueError("no")
    assert console._display is None and not console._bars
    assert out.getvalue().endswith("\x1b[2K") or out.getvalue().rstrip("\n").endswith("\x1b[2K")


TERMS = {f"loss_{name}": 12.3456 for name in ("ce", "feature", "logits", "contrast")}


@pytest.mark.parametrize("columns", [60, 80, 100, 140])
@pytest.mark.parametrize("name", ["teacher", "text teacher", "student"])
@pytest.mark.parametrize("terms", [{"loss_ce": 0.5}, TERMS])
def test_an_epoch_is_one_line_on_any_terminal(
    columns: int, name: str, terms: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    metrics = {
        "loss": 49.3824,
        **terms,
        "validation_top1": 1.0,
        "time": {"images_per_second": 12345.6, "waiting_for_data": 9.9},
    }
    Console(out).epoch_done(name, 7, 240, metrics)
    (line,) = out.getvalue().splitlines()
    assert len(line) <= columns and line.startswith(f"{name}   7/240  loss 49.3824  ") and "top-1 100.00 %" in line
    assert (columns < 140) or line.endswith("12346 images/s")


def test_lines_are_wrapped_between_words_on_a_terminal_and_commands_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = Terminal()
    command = f"  tmkd-pipeline predict {'x' * 60} photo.jpg"
    Console(out).say(f"the text teacher is at chance level, so that its weights are noise\n{command}")
    lines = out.getvalue().splitlines()
    assert lines == ["the text teacher is at chance level, so", "that its weights are noise", command]


@pytest.mark.parametrize("terminal", ["dumb", "unknown"])
def test_terminal_without_cursor_movement_gets_plain_lines(terminal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", terminal)
    assert Console(Terminal()).plain


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


def test_epoch_is_one_line_of_figures() -> None:
    out = io.StringIO()
    time = {"images_per_second": 99.6, "waiting_for_data": 9.9}
    metrics = {"loss": 1.5, "loss_ce": 0.5, "loss_logits": 1.0, "validation_top1": 0.625, "time": time}
    line = "student  3/12  loss 1.5000  validation top-1 62.50 %  (ce 0.500  logits 1.000)  100 images/s"
    Console(out).epoch_done("student", 3, 12, metrics)
    Console(out).epoch_done("student", 3, 12, metrics | {"time": time | {"waiting_for_data": 41.7}})
    assert out.getvalue() == f"{line}\n{line}, 42 % of the time waiting for data\n"


@pytest.mark.parametrize(
    ("total", "expected"), [(10_000_000, "a.tgz: 2.5 of 10.0 MB, 1:33 left"), (None, "a.tgz: 2.5 MB, 31 s so far")]
)
def test_downloads_are_reported_in_megabytes(monkeypatch: pytest.MonkeyPatch, total: int | None, expected: str) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with Console(out).track("a.tgz", total, unit="bytes") as bar:
        now[0] = 31.0
        bar.advance(2_500_000)
    assert out.getvalue() == f"{expected}\n"


def test_a_download_on_a_terminal_has_a_bar() -> None:
    out = Terminal()
    with Console(out).track("a.tgz", 10_000_000, unit="bytes") as bar:
        bar.advance(2_500_000)
    assert "2.5/10.0 MB" in out.getvalue()


def test_escape_sequences_of_texts_are_written_out() -> None:
    stream = io.StringIO()
    console = Console(stream, plain=True)
    console.say("a\x1b[2Jb")
    console.table("t\x07", ["c\x9b"], [["\x1b]0;x\x07"]])
    with console.track("work\x1b[31m", None) as bar:
        assert bar.description == "work\\u001b[31m"
    shown = stream.getvalue()
    assert "a\\u001b[2Jb" in shown and "\\u001b]0;x\\u0007" in shown
    assert not {"\x1b", "\x07", "\x9b"}.intersection(shown)
