"""What the check asks of an engine, and Docker."""

import json
import os
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PORT = 8000
# Of this machine's network; an image is told of them while it is built, and no file is.
NETWORK = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")
PROXIES = tuple(name for known in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY") for name in (known, known.lower()))
STOP_SECONDS = 60
STRICT = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")

Mounts = dict[Path, tuple[str, bool]]
"""Folder or file here, to (path in the container, whether it may be written)."""


class Missing(Exception):
    """Something that the check needs is not on this machine."""


class Failed(Exception):
    """Something is not as it must be."""


@dataclass(frozen=True)
class Answer:
    """What a finished command said."""

    code: int
    output: str


def tell(text: str) -> None:
    print(text, flush=True)


def call(words: Sequence[str | Path], **options: Any) -> Answer:
    """Run a command to its end; standard error is part of the output unless `options` of `subprocess.run` differ."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
    done = subprocess.run([str(word) for word in words], check=False, **options)
    return Answer(done.returncode, done.stdout or "")


def must(words: Sequence[str | Path], **options: Any) -> str:
    """The standard output of a command that has to succeed; what it says beside it is shown."""
    answer = call(words, **{"stderr": None, **options})
    if answer.code:
        raise Failed(f"{' '.join(map(str, words))} ended with {answer.code}\n{answer.output}")
    return answer.output.strip()


def build_arguments() -> list[str]:
    """What the environment says of package indices, proxies and certificate authorities, as options of a build."""
    options = [f"--build-arg={name}" for name in (*NETWORK, *PROXIES) if os.environ.get(name)]
    authority = next((os.environ[name] for name in ("SSL_CERT_FILE", "PIP_CERT") if os.environ.get(name)), None)
    if authority:
        options += [f"--secret=id=ca,src={authority}"]
        options += [f"--build-arg={name}=/run/secrets/ca" for name in ("PIP_CERT", "SSL_CERT_FILE")]
    return options


def megabytes(size: str) -> float:
    """`386 MB`, `1.2 GB` or a number of bytes, in MB."""
    number, unit = re.fullmatch(r"([\d.]+)\s*([kKMG]?)i?B?", size).groups()  # type: ignore[union-attr]
    return float(number) * {"": 1e-6, "k": 1e-3, "K": 1e-3, "M": 1, "G": 1e3}[unit]


class Server(ABC):
    """A container that runs an image's own command."""

    address: str

    @abstractmethod
    def execute(self, words: Sequence[str]) -> Answer:
        """Run a command inside, as the image's user."""

    @abstractmethod
    def is_running(self) -> bool: ...

    @abstractmethod
    def stop(self) -> Answer:
        """Send SIGTERM; the exit code, and all that was logged."""


class Engine(ABC):
    """What the check asks of one."""

    name: str

    @abstractmethod
    def build(self, image: str, dockerfile: Path, base: str) -> None: ...

    @abstractmethod
    def settings(self, image: str) -> dict[str, Any]:
        """The image's configuration: User, Env, Entrypoint, Cmd, Healthcheck, …"""

    @abstractmethod
    def size(self, image: str) -> float:
        """In MB, all layers unpacked."""

    @abstractmethod
    def run(self, image: str, words: Sequence[str], mounts: Mounts, entrypoint: str | None = None) -> Answer:
        """Run to the end on a read-only root, without rights."""

    @abstractmethod
    def run_writable(self, image: str, words: Sequence[str], mounts: Mounts) -> int:
        """Run to the end on a root that may be written; the output is shown as it comes."""

    @abstractmethod
    def serve(self, image: str, mounts: Mounts) -> Server:
        """Start the image's own command on a read-only root, without rights."""


class Docker(Engine):
    """The command line of Docker, or one that takes the same words."""

    name = "docker"

    def __init__(self, program: str) -> None:
        self.program = program

    def build(self, image: str, dockerfile: Path, base: str) -> None:
        must([self.program, "build", "--file", dockerfile, "--tag", image, *build_arguments(), ROOT])

    def settings(self, image: str) -> dict[str, Any]:
        return json.loads(must([self.program, "image", "inspect", image]))[0]["Config"]  # type: ignore[no-any-return]

    def size(self, image: str) -> float:
        return megabytes(must([self.program, "image", "inspect", "--format", "{{.Size}}", image]))

    def _options(self, mounts: Mounts) -> list[str]:
        volumes = [f"{here}:{there}:{'rw' if writable else 'ro'}" for here, (there, writable) in mounts.items()]
        return [f"--volume={volume}" for volume in volumes]

    def run(self, image: str, words: Sequence[str], mounts: Mounts, entrypoint: str | None = None) -> Answer:
        entry = ["--entrypoint", entrypoint] if entrypoint else []
        return call([self.program, "run", "--rm", *STRICT, *entry, *self._options(mounts), image, *words])

    def run_writable(self, image: str, words: Sequence[str], mounts: Mounts) -> int:
        return subprocess.run(
            [self.program, "run", "--rm", *self._options(mounts), image, *words], check=False
        ).returncode

    def serve(self, image: str, mounts: Mounts) -> Server:
        words = ["run", "--detach", *STRICT, f"--publish=127.0.0.1::{PORT}", *self._options(mounts), image]
        return DockerServer(self.program, must([self.program, *words]))


class DockerServer(Server):
    """A detached container."""

    def __init__(self, program: str, identity: str) -> None:
        self.program, self.identity = program, identity
        self.address = must([program, "port", identity, f"{PORT}/tcp"]).splitlines()[0]

    def execute(self, words: Sequence[str]) -> Answer:
        return call([self.program, "exec", self.identity, *words])

    def is_running(self) -> bool:
        return must([self.program, "inspect", "--format", "{{.State.Running}}", self.identity]) == "true"

    def stop(self) -> Answer:
        if self.is_running():
            must([self.program, "stop", "--time", str(STOP_SECONDS), self.identity])
        code = int(must([self.program, "inspect", "--format", "{{.State.ExitCode}}", self.identity]))
        log = call([self.program, "logs", self.identity]).output
        must([self.program, "rm", self.identity])
        return Answer(code, log)
