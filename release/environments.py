"""Environments that hold the wheel with one of its extras, in folders that know nothing of the project."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from release.checking import Failed, Missing, call, find_program

READY_SECONDS = 120
STOP_SECONDS = 60


def find_python(version: str) -> Path:
    """An interpreter by its version, such as 3.12: `python3.12` of the PATH.

    Raises:
        Missing: there is none, or it does not start.
    """
    found = shutil.which(f"python{version}")
    if found is None:
        raise Missing(f"python{version} is not on the PATH")
    code = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)"
    done = subprocess.run([found, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode or done.stdout.splitlines()[:1] != [version]:
        raise Missing(f"python{version} does not start: {(done.stderr or done.stdout).strip()}")
    return Path(done.stdout.splitlines()[1])


class Environment:
    """A virtual environment and an empty folder that its commands run in.

    Args:
        folder: where both are made; what was there is removed.
        python: the interpreter.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder, self.uv = folder, find_program("uv")
        self.bin = folder / "venv" / "bin"
        self.work = folder / "work"
        shutil.rmtree(folder, ignore_errors=True)
        self.work.mkdir(parents=True)
        call([self.uv, "venv", "--quiet", "--no-project", "--python", python, folder / "venv"])

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of this process without those that lead Python elsewhere."""
        kept = {
            name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "UV_"))
        }
        return {**kept, "PATH": f"{self.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}

    def install(self, *words: str | Path) -> None:
        """Install by uv."""
        call([self.uv, "pip", "install", "--quiet", "--python", self.bin / "python", *words], at=self.work)

    def packages(self) -> dict[str, str]:
        """What is installed: name → version."""
        text = call([self.uv, "pip", "list", "--quiet", "--format", "json", "--python", self.bin / "python"])
        return {each["name"]: each["version"] for each in json.loads(text)}

    def check(self) -> None:
        """Whether what is installed has what it requires."""
        call([self.uv, "pip", "check", "--quiet", "--python", self.bin / "python"])

    def tmkd(self, *words: str | Path, code: int = 0) -> str:
        """Run the command line of the project; standard output."""
        return call([self.bin / "tmkd-pipeline", *words], at=self.work, environment=self.variables, code=code)

    def python(self, code: str) -> str:
        """Run a line of Python; standard output."""
        return call([self.bin / "python", "-c", code], at=self.work, environment=self.variables)

    @contextmanager
    def server(self, *words: str | Path) -> Iterator[str]:
        """`serve` with more words on a free port: its address, once it is ready; ended by SIGTERM at the end.

        Raises:
            Failed: it does not become ready, or does not end with exit 0.
        """
        log = self.folder / "serve.log"
        command = [str(word) for word in (self.bin / "tmkd-pipeline", "serve", *words, "--port", "0")]
        with log.open("wb") as stream:
            process = subprocess.Popen(command, cwd=self.work, env=self.variables, stdout=stream, stderr=stream)
        try:
            yield _ready(process, log)
            process.send_signal(signal.SIGTERM)
            code = process.wait(STOP_SECONDS)
            if code:
                raise Failed(f"not so: serve ends with 0 on SIGTERM, got {code}\n{log.read_text('utf-8')}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address of a server, once it says that it listens."""
    end = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < end:
        for line in log.read_text("utf-8").splitlines():
            told: Any = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
            if told.get("event") == "listening":
                return f"http://127.0.0.1:{told['port']}"
        time.sleep(0.1)
    raise Failed(f"not so: the server listens within {READY_SECONDS} s\n{log.read_text('utf-8')}")


def ask(address: str, body: bytes | None = None) -> bytes:
    """What a server answers with status 200."""
    request = Request(address, data=body, headers={"Content-Type": "application/octet-stream"})
    with urlopen(request, timeout=60) as response:
        answer: bytes = response.read()
    return answer
