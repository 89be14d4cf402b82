"""Whatever standard output and error are, a command does its work and ends with the exit code of that work."""

import errno
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from exporters.core.plain_letters import ERRORS
from pipeline import streams
from pipeline.catalog import find_recipe
from tests.pipeline.conftest import CLASSES, REPOSITORY, Outcome, Run

ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1", "CI": "1"}
PROGRAM = [sys.executable, "-m", "pipeline"]


def pipe_without_reader() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def without_reader(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose standard output nobody reads."""
    writing = pipe_without_reader()
    try:
        return subprocess.run(
            [*PROGRAM, *map(str, arguments)],
            stdout=writing, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=240, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)


def redirected(how: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command behind a redirection of the shell, such as `>&-`."""
    shell = ["bash", "-c", f'exec "$@" {how}', "bash", *PROGRAM, *map(str, arguments)]
    return subprocess.run(shell, capture_output=True, env=ENVIRONMENT, timeout=240, check=False)


class TestOutput:
    def test_output_is_discarded_once_the_reader_is_gone(self) -> None:
        reading, writing = os.pipe()
        output = streams._Output(writing, "wb")
        assert output.write(b"one") == 3 and os.read(reading, 10) == b"one" and not output.reader_gone
        os.close(reading)
        assert output.write(b"three") == 5 and output.reader_gone
        assert output.write(b"more") == 4
        assert os.fstat(writing).st_rdev == Path(os.devnull).stat().st_rdev
        output.close()

    def test_control_characters_are_written_out_and_bars_of_libraries_are_not(self) -> None:
        reading, writing = os.pipe()
        stream = streams._protected(writing, None)
        for text in ("a\x1b[2Jb\r\n", "\r 5 %|bar|", "\r   \r", "\x1b[A", "\n\n"):
            stream.write(text)
        streams.styled(stream).write("\x1b[1mours\x1b[0m\n")
        stream.flush()
        expected = "a\\u001b[2Jb\\u000d\n\r 5 %|bar|\r   \r\x1b[A\n\n\x1b[1mours\x1b[0m\n"
        assert os.read(reading, 1000).decode() == expected
        os.close(reading)
        os.close(writing)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
    def test_a_full_disk_is_an_error(self) -> None:
        with streams._Output("/dev/full", "wb", closefd=True) as output, pytest.raises(OSError) as raised:
            output.write(b"x")
        assert raised.value.errno == errno.ENOSPC and raised.value.filename == "output"

    def test_stream_of_the_caller_is_kept(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with (tmp_path / "out").open("w", encoding="ascii") as own:
            monkeypatch.setattr(sys, "stdout", own)
            streams.protect_streams()
            assert sys.stdout is own and own.errors == ERRORS and not streams.reader_gone()


PRINTING = {
    "help": ["--help"],
    "schema": ["schema"],
    "recipes": ["recipes", "show", "quickstart"],
    "check": ["check", "quickstart"],
    "plan": ["plan", "quickstart", "--run-dir", "{tmp}"],
}


@pytest.mark.parametrize("arguments", PRINTING.values(), ids=PRINTING)
def test_printing_commands_end_well_without_a_reader(arguments: list[str], tmp_path: Path) -> None:
    done = without_reader(*(argument.format(tmp=tmp_path / "run") for argument in arguments))
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("how", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_streams_may_be_closed(how: str) -> None:
    done = redirected(how, "recipes", "show", "quickstart")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (find_recipe("quickstart").read_bytes() if how == "2>&-" else b"")
    done = redirected(how, "recipes", "show", "nothing")
    assert done.returncode == 2 and done.stdout == b"" and b"Traceback" not in done.stderr


@pytest.mark.parametrize("setting", [{}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONUNBUFFERED": "1"}])
def test_control_characters_of_an_argument_are_written_out(setting: dict[str, str]) -> None:
    command = [*PROGRAM, "recipes", "show", "none\x1b]0;x\x07"]
    done = subprocess.run(command, capture_output=True, env=ENVIRONMENT | setting, timeout=240, check=False)
    assert done.returncode == 2 and b"\\u001b]0;x\\u0007" in done.stderr
    assert not {0x1B, 0x07}.intersection(done.stdout + done.stderr)


@pytest.mark.parametrize(("encoding", "first"), [("ascii", b"-- x 1.5 ... +-"), ("latin-1", b"-- \xd7 1.5 ... \xb1")])
def test_encoding_without_a_letter_gets_one_that_looks_alike(encoding: str, first: bytes) -> None:
    code = (
        "from pipeline.streams import echo, protect_streams\nprotect_streams()\nfrom pipeline.console import Console\n"
        "echo('── × 1.5 … ±')\nConsole().table('t', ['a'], [['b']])\nprint('…')\n"
    )
    setting = ENVIRONMENT | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=setting, timeout=240, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, lines[0], lines[-1]) == (0, b"", first, b"...")
    assert b"| b |" in lines and done.stdout[len(first) :].isascii()


def test_unbuffered_output_may_lose_its_reader() -> None:
    shell = ["bash", "-c", 'set -o pipefail; PYTHONUNBUFFERED=1 "$@" | head -1', "bash", *PROGRAM, "schema"]
    done = subprocess.run(shell, capture_output=True, env=ENVIRONMENT, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_full_disk_behind_standard_output_is_an_error() -> None:
    done = redirected(">/dev/full", "schema")
    assert done.returncode == 4 and done.stderr == b"error: standard output: No space left on device\n"
    assert redirected(">/dev/full 2>/dev/full", "schema").returncode == 4


def test_a_file_that_is_read_never_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import sys, os\nfrom pipeline.streams import protect_streams\nprotect_streams()\n"
        f"stream = open({str(tmp_path / 'own.txt')!r}, 'w')\n"
        "assert stream.fileno() > 2\nprint('lost', flush=True)\nos.write(1, b'lost')\n"
        "os.system('echo lost; echo lost >&2')\n"
    )
    shell = ["bash", "-c", 'exec "$@" >&- 2>&- <&-', "bash", sys.executable, "-c", code]
    assert subprocess.run(shell, env=ENVIRONMENT, timeout=60, check=False).returncode == 0
    assert (tmp_path / "own.txt").read_text() == ""


class TestBundle:
    def test_predict_ends_when_its_reader_goes_away(self, finished: tuple[Run, Outcome], tmp_path: Path) -> None:
        run, _ = finished
        good, absent = run.data / "test" / CLASSES[0] / "01.png", tmp_path / "absent.png"
        done = without_reader("predict", run.directory / "bundle", good, absent)
        assert (done.returncode, done.stderr) == (0, b"")  # the second image was not looked at
        done = redirected(">&-", "predict", run.directory / "bundle", good, good)
        assert (done.returncode, done.stderr) == (0, b"")

    def test_verify_gives_its_verdict_without_a_reader(self, finished: tuple[Run, Outcome], tmp_path: Path) -> None:
        bundle = tmp_path / "bundle"
        shutil.copytree(finished[0].directory / "bundle", bundle)
        assert without_reader("verify", bundle).returncode == 0
        (bundle / "labels.json").write_text("[]")
        assert without_reader("verify", bundle).returncode == 3

    def test_benchmark_writes_its_report_without_a_reader(self, run: Run) -> None:
        quick = ["--batches", 1, "--threads", 1, "--seconds", 0]
        done = without_reader("benchmark", run.directory / "bundle", *quick, "--json")
        assert done.returncode == 0 and b"Traceback" not in done.stderr
        assert (run.directory / "bundle.benchmark" / "benchmark.json").is_file()

    def test_serve_goes_on_without_a_reader_of_its_log(self, finished: tuple[Run, Outcome]) -> None:
        server = subprocess.Popen(
            [*PROGRAM, "serve", str(finished[0].directory / "bundle"), "--port", "0", "--drain-seconds", "0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT,
        )  # fmt: skip
        try:
            assert server.stderr is not None
            port = _port(server.stderr)
            server.stderr.close()
            for _ in range(3):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("GET", "/v2/health/ready")
                assert connection.getresponse().status == 200
                connection.close()
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0


def _port(log: IO[bytes]) -> int:
    for line in log:
        if (found := re.search(rb'"port": ?(\d+)|http://127\.0\.0\.1:(\d+)', line)) is not None:
            return int(found[1] or found[2])
    raise AssertionError("the server ended")


def test_a_run_goes_on_without_a_reader(tiny_recipe: Path, tmp_path: Path) -> None:
    done = without_reader("run", tiny_recipe, "--run-dir", tmp_path / "run", "--until", "data")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads((tmp_path / "run" / "stages" / "data.json").read_text())["status"] == "done"
    done = redirected(">&-", "run", tiny_recipe, "--run-dir", tmp_path / "run", "--until", "data")
    assert (done.returncode, done.stderr) == (0, b"")


def test_data_inspect_draws_its_sheet_without_a_reader(tiny_data: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    done = without_reader("data", "inspect", "folder", "--root", tiny_data, "--sheet", sheet)
    assert (done.returncode, done.stderr) == (0, b"") and sheet.is_file()
