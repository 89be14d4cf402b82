"""Building images and running them: with a Docker engine, or with buildah where there is none."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PORT = 8080
# Of this machine's network; an image is told of them while it is built, and no file is.
NETWORK = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")
PROXIES = tuple(name for known in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY") for name in (known, known.lower()))
STOP_SECONDS = 60

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
    """Run a command to its end; standard error is part of the output."""
    done = subprocess.run(
        [str(word) for word in words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    return Answer(done.returncode, done.stdout)


def must(words: Sequence[str | Path], **options: Any) -> str:
    """The standard output of a command that has to succeed; what it says beside it is shown."""
    options = {"stdout": subprocess.PIPE, **options}
    done = subprocess.run([str(word) for word in words], text=True, check=False, **options)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, words[:8]))} … ended with {done.returncode}\n{done.stdout or ''}")
    return (done.stdout or "").strip()


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


def find_engine(folder: Path, name: str | None = None) -> Engine:
    """The engine of that name; else Docker if it answers, else buildah.

    Raises:
        Missing: there is neither.
    """
    docker = shutil.which("docker") if name in (None, "docker") else None
    if docker and call([docker, "version", "--format", "{{.Server.Version}}"]).code == 0:
        return Docker(docker)
    buildah = shutil.which("buildah") if name in (None, "buildah") else None
    if buildah and os.geteuid() == 0 and shutil.which("unshare"):
        return Buildah(buildah, folder)
    raise Missing(
        "images are built and run by a Docker engine that answers (`docker version`), or on Linux by root with buildah\n"
        "and util-linux (`apt-get install buildah debootstrap`; debootstrap makes a base where none can be pulled)"
    )


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


STRICT = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


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


# Sets a root up in a mount namespace of its own, and becomes the command: its process is the first of a process
# namespace, as in a container. Words: root, ro or rw, user, folder, number of mounts, mounts (here, there, ro or rw), command.
CONTAINER = """
set -eu
root=$1 mode=$2 user=$3 folder=$4 count=$5
shift 5
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$count" -gt 0 ]; do
    if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; touch "$root$2"; fi
    mount --bind "$1" "$root$2"
    mount -o "remount,bind,$3" "$root$2"
    shift 3
    count=$((count - 1))
done
mount -o "remount,bind,$mode" "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" env -i --chdir="$folder" "$@"
"""


class Buildah(Engine):
    """buildah in a storage of its own; containers are made of namespaces and chroot.

    Programs of a container share this machine's network.

    Args:
        folder: for the storage; kept, so that the next build is short.
    """

    name = "buildah"

    def __init__(self, program: str, folder: Path) -> None:
        self.folder = folder
        driver = os.environ.get("STORAGE_DRIVER", "overlay")
        self.words = [program, "--root", str(folder / "storage"), "--runroot", str(folder / "run"), "--storage-driver"]
        self.words.append(driver)

    def _buildah(self, *words: str | Path) -> str:
        return must([*self.words, *words])

    def build(self, image: str, dockerfile: Path, base: str) -> None:
        if call([*self.words, "inspect", "--type", "image", base]).code:
            self._get(base)
        options = ["--isolation=chroot", "--pull-never", "--format=docker", "--layers", *build_arguments()]
        must([*self.words, "bud", *options, "--file", dockerfile, "--tag", image, ROOT], stdout=None)

    def _get(self, base: str) -> None:
        """Pull a base; where no registry answers, make one of Debian's packages that has the same Python."""
        if call([*self.words, "pull", base]).code == 0:
            return
        known = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-(\w+)", base)
        if known is None or not shutil.which("debootstrap"):
            raise Missing(
                f"{base} cannot be pulled here, and debootstrap can make a stand-in for python:*-slim-* alone"
            )
        python, release = known.groups()
        tell(f"{base} cannot be pulled: its stand-in is made by debootstrap from Debian {release}")
        made = self.folder / "stand-in"
        shutil.rmtree(made, ignore_errors=True)
        packages = "--include=python3,python3-venv,ca-certificates"
        must(["debootstrap", "--variant=minbase", packages, release, made], stdout=subprocess.DEVNULL)
        for name in ("python", "python3"):
            (made / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
        found = must(["chroot", made, "python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        if found != python:
            raise Missing(f"Debian {release} has Python {found}, and {base} has {python}")
        for bulk in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(made / bulk, ignore_errors=True)  # as the slim images do
        container = self._buildah("from", "scratch")
        self._buildah("copy", "--quiet", container, made, "/")
        path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        self._buildah("config", "--env", path, container)
        self._buildah("commit", "--quiet", "--rm", "--format=docker", container, f"docker.io/library/{base}")
        shutil.rmtree(made)

    def settings(self, image: str) -> dict[str, Any]:
        return json.loads(self._buildah("inspect", "--type", "image", image))["Docker"]["config"]  # type: ignore[no-any-return]

    def size(self, image: str) -> float:
        return megabytes(self._buildah("images", "--format", "{{.Size}}", image))

    def run(self, image: str, words: Sequence[str], mounts: Mounts, entrypoint: str | None = None) -> Answer:
        with Root(self, image, mounts, read_only=True) as root:
            return call(root.command(words, entrypoint))

    def run_writable(self, image: str, words: Sequence[str], mounts: Mounts) -> int:
        with Root(self, image, mounts, read_only=False) as root:
            return subprocess.run(root.command(words), check=False).returncode

    def serve(self, image: str, mounts: Mounts) -> Server:
        return BuildahServer(Root(self, image, mounts, read_only=True), self.folder / "server.log")


class Root:
    """A container's root folder, from its image to its removal."""

    def __init__(self, engine: Buildah, image: str, mounts: Mounts, read_only: bool) -> None:
        self.engine, self.mounts, self.mode = engine, mounts, "ro" if read_only else "rw"
        self.settings = engine.settings(image)
        self.container = engine._buildah("from", "--pull-never", image)
        self.folder = engine._buildah("mount", self.container)

    def __enter__(self) -> "Root":
        return self

    def __exit__(self, *_: object) -> None:
        self.engine._buildah("rm", self.container)

    def command(self, words: Sequence[str] | None, entrypoint: str | None = None) -> list[str]:
        """What starts `words`, or the image's own command, in this root."""
        program = [entrypoint] if entrypoint else self.settings["Entrypoint"] or []
        own = self.settings["Cmd"] or []
        mounts = [part for here, (there, rw) in self.mounts.items() for part in (here, there, "rw" if rw else "ro")]
        start = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", CONTAINER, "sh", self.folder]
        user, folder = self.settings["User"] or "0:0", self.settings["WorkingDir"] or "/"
        parts = [*start, self.mode, user, folder, len(self.mounts), *mounts, *self.settings["Env"], *program]
        return [str(part) for part in (*parts, *(own if words is None else words))]


class BuildahServer(Server):
    """A server in a root; it listens on a free port of this machine, because it shares its network."""

    def __init__(self, root: Root, log: Path) -> None:
        self.root, self.log = root, log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        words = [self._here(word) for word in root.command(None)]
        with log.open("wb") as output:
            self.parent = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
        children = Path(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children")
        while not (found := children.read_text().split()) and self.is_running():
            time.sleep(0.01)
        self.process = found[0] if found else ""

    def _here(self, word: str) -> str:
        return re.sub(rf"\b{PORT}\b", self.port, word)

    def execute(self, words: Sequence[str]) -> Answer:
        user, _, group = self.root.settings["User"].partition(":")
        enter = ["nsenter", f"--target={self.process}", "--mount", "--pid", "--root", "--wd"]
        enter += [f"--setuid={user}", f"--setgid={group or user}", "env", "-i", *self.root.settings["Env"]]
        return call([*enter, *map(self._here, words)])

    def is_running(self) -> bool:
        return self.parent.poll() is None

    def stop(self) -> Answer:
        if self.is_running():
            os.kill(int(self.process), signal.SIGTERM)
        try:
            code = self.parent.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.parent.kill()
            code = -signal.SIGKILL
        self.root.__exit__()
        return Answer(code, self.log.read_text(errors="replace"))
