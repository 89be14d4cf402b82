"""The console through a pseudo-terminal: what a real process writes, as a terminal of a given width shows it."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.cells import cell_len

PROGRAM = [sys.executable, "-m", "tests.pipeline.console.shown_work"]
ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name not in ("CI", "COLUMNS", "NO_COLOR", "FORCE_COLOR")},
    "TERM": "xterm-256color", "PYTHONUTF8": "1",
}  # fmt: skip
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TABLE = ["┏", "┃", "┡", "│", "│", "│", "└"]

pytestmark = pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals here")


@dataclass
class Screen:
    """A terminal that knows the few sequences that bars need, and refuses all others."""

    columns: int
    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    most: int = 0
    styles: int = 0

    def feed(self, text: str) -> None:
        """Show what a process wrote."""
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]|\x1b", text):
            if part == "\n":
                self.row += 1
                while len(self.lines) <= self.row:
                    self.lines.append("")
            elif part == "\r":
                continue  # a line is erased before it is drawn again
            elif part == "\x1b[2K":
                self.lines[self.row] = ""
            elif up := re.fullmatch(r"\x1b\[(\d*)A", part):
                self.row = max(0, self.row - int(up[1] or 1))
            elif part.startswith("\x1b[") and part.endswith("m"):
                self.styles += 1
            elif part in ("\x1b[?25l", "\x1b[?25h"):
                continue
            else:
                assert not part.startswith("\x1b"), repr(part)
                self.lines[self.row] += part
            self.most = max(self.most, cell_len(self.lines[self.row]))


def shown(columns: int, *, then: int | None = None, **environment: str) -> tuple[Screen, str]:
    """Run the work on a terminal of so many columns, resized in the middle to `then`; gives screen and raw text."""
    leader, follower = os.openpty()

    def resize(to: int) -> None:
        fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 30, to, 0, 0))

    resize(columns)
    found = bytearray()
    with subprocess.Popen(
        PROGRAM, stdin=subprocess.PIPE, stdout=follower, stderr=subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT | environment
    ) as process:
        os.close(follower)

        def read() -> None:
            try:
                while data := os.read(leader, 65536):
                    found.extend(data)
            except OSError:  # Linux ends a terminal so
                return

        reader = threading.Thread(target=read)
        reader.start()
        assert process.stderr is not None and process.stdin is not None
        assert process.stderr.readline().strip() == b"ready"
        if then is not None:
            resize(then)
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.stderr.read() == b""
    reader.join()
    os.close(leader)
    assert process.returncode == 0
    text = found.decode("utf-8").replace("\r\n", "\n")
    screen = Screen(then or columns)
    screen.feed(text)
    return screen, text


@pytest.mark.parametrize("columns", [80, 120])
def test_bars_are_drawn_in_place_and_nothing_exceeds_the_terminal(columns: int) -> None:
    screen, text = shown(columns)
    lines = [line.rstrip() for line in screen.lines]
    assert screen.most <= columns and screen.styles > 0
    # Bars have gone, and left no line behind.
    assert lines[:3] == ["── distill", "a line between bars", lines[2]] and lines[2].startswith(
        "student  3/12  loss 1.5000"
    )
    table = lines.index("quickstart: student against teacher")
    assert [line[0] for line in lines[table + 1 : table + 8]] == TABLE
    assert len({cell_len(line) for line in lines[table + 1 : table + 8]}) == 1
    assert lines[table + 8 : table + 10] == ["next:", "  tmkd-pipeline verify runs/quickstart/bundle"]
    drawn = [CONTROL.sub("", part) for part in re.split(r"[\r\n]", text)]
    bars = [line.rstrip() for line in drawn if "student 3/12 " in line and "/40" in line]
    assert bars and all("left" in bar and "loss 1.235" in bar for bar in bars if " 40/40" in bar)
    assert any("waiting for data 12 %" in bar for bar in bars) == (columns == 120)
    assert any("…" in line and "5/10" in line for line in drawn) or columns == 120


def test_resized_terminal_gets_bars_of_its_new_width() -> None:
    _, text = shown(120, then=60)
    after = text[text.index("21/40") + 200 :]
    drawn = [CONTROL.sub("", part) for part in re.split(r"[\r\n]", after)]
    assert any("40/40" in line for line in drawn)
    assert max(cell_len(line) for line in drawn) <= 60


def test_no_color_takes_colours_and_leaves_bars() -> None:
    screen, text = shown(80, NO_COLOR="1")
    assert screen.styles == 0 and "40/40" in text and screen.most <= 80


def test_ci_on_a_terminal_is_plain_lines() -> None:
    _, text = shown(80, CI="1")
    assert "\x1b" not in text and "\r" not in text and "40/40" not in text
    assert text.startswith("── distill\na line between bars\n")


@pytest.mark.parametrize("settings", [{}, {"FORCE_COLOR": ""}, {"NO_COLOR": "1"}])
def test_without_a_terminal_there_are_no_control_sequences(settings: dict[str, str]) -> None:
    done = subprocess.run(
        PROGRAM, input=b"\n", capture_output=True, cwd=ROOT, env=ENVIRONMENT | settings, check=True, timeout=240
    )
    assert not {0x1B, 0x0D}.intersection(done.stdout)
    lines = done.stdout.decode("utf-8").splitlines()
    assert lines[:2] == ["── distill", "a line between bars"] and lines[-1].startswith("  tmkd-pipeline verify")
