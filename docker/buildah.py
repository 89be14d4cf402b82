"""buildah, and containers made of namespaces and chroot, for machines without a Docker engine."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines import (
    PORT,
    STOP_SECONDS,
    Answer,
    Engine,
    Missing,
    Mounts,
    Server,
    build_arguments,
    call,
    megabytes,
    must,
    tell,
)
from engines import ROOT as PROJECT

# Sets a root up in a mount namespace of its own, and becomes the command: its process is the first of a process
# namespace, as in a container. Words: root, ro or rw, user, folder, number of mounts, for each of them here, there
# and ro or rw, command.
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
        must([*self.words, "bud", *options, "--file", dockerfile, "--tag", image, PROJECT], stdout=None)

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
            return call(root.command(words), stdout=None, stderr=None).code

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
