"""Build sdist and wheel, look into both, install them where nothing else is, and use them as their users would.

    python -m release.wheel                                with this Python: everything, the quickstart included
    python -m release.wheel --python 3.11,3.12,3.13        with several, which the PATH has as `python3.12`
    python -m release.wheel --only inside                  build and look inside; install nothing
    python -m release.wheel --only base,runtime,serve --bundle runs/quickstart/bundle

Each of `base`, `runtime`, `serve` and `cpu` is an environment of its own, in a folder outside the project, and is
removed when it has been tried. `cpu` runs the quickstart, whose bundle the others are tried with. uv installs, from
wherever it is configured to. Exit codes: 0 as it must be, 3 something is not, 4 something is missing here.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from release.checking import ROOT, Failed, call, ended, expect, find_program, tell
from release.contents import differences, members, sdist_mistakes, tracked, wheel_files, wheel_mistakes
from release.environments import Environment, ask, find_python

TRAINING = {"torch", "torchvision", "timm", "open-clip-torch", "onnx", "lightning-fabric", "matplotlib", "scikit-learn"}
RUNTIME, SERVER = {"onnxruntime"}, {"fastapi", "httptools", "prometheus-client"}
PARTS = ("inside", "cpu", "base", "runtime", "serve")
GOLDEN = (
    "import sys, numpy; from PIL import Image; Image.fromarray(numpy.load({path!r})['image'][0]).save('golden.png')"
)


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist and the wheel, and the wheel from the sdist again; the first two.

    Raises:
        Failed: what is inside is not as it must be, or the two wheels differ.
    """
    uv = find_program("uv")
    tell("sdist and wheel")
    call([uv, "build", "--quiet", "--sdist", "--out-dir", folder])
    call([uv, "build", "--quiet", "--wheel", "--out-dir", folder])
    (sdist,), (wheel,) = sorted(folder.glob("*.tar.gz")), sorted(folder.glob("*.whl"))
    places = (str(ROOT), str(Path.home()), tempfile.gettempdir() + "/tmp")
    files = tracked()
    inside = members(wheel)
    mistakes = wheel_mistakes(inside, wheel_files(), places)
    expect(not mistakes, f"{wheel.name} holds what it should: {len(inside)} files", "\n".join(mistakes[:20]))
    mistakes = sdist_mistakes(members(sdist), files, places)
    expect(not mistakes, f"{sdist.name} holds what it should", "\n".join(mistakes[:20]))
    again = folder / "again"
    call([uv, "build", "--quiet", "--wheel", "--out-dir", again, sdist])
    apart = differences(inside, members(next(again.glob("*.whl"))))
    expect(not apart, "the wheel that is built from the sdist is the same, file by file", "\n".join(apart[:20]))
    return sdist, wheel


def install(environment: Environment, wheel: Path, extra: str, without: set[str]) -> None:
    """Install a wheel with an extra; `without` names packages that must not come with it."""
    environment.install(f"tmkd-pipeline[{extra}] @ {wheel.as_uri()}" if extra else str(wheel))
    environment.check()
    found = environment.packages()
    there = without & set(found)
    expect(not there, f"{len(found)} packages, none of training or serving that it is not for", there)
    place = environment.python("import exporters, pipeline; print(pipeline.__file__)").strip()
    expect("site-packages" in place, "it is imported from the environment and not from the project", place)


def try_base(environment: Environment, version: str, bundle: Path | None) -> None:
    """What works without any extra: recipes are read, checked and copied."""
    told = environment.tmkd("--version")
    expect(version in told, f"--version says {version}", told)
    commands = environment.tmkd("--help")
    expect("verify" in commands and "Traceback" not in commands, "--help lists the commands", commands)
    expect("quickstart" in environment.tmkd("recipes", "list"), "recipes list has the quickstart")
    expect("no mistakes" in environment.tmkd("check", "quickstart"), "check quickstart: no mistakes")
    schema = json.loads(environment.tmkd("schema"))
    expect("distill" in schema["properties"], "schema is a JSON Schema of recipes")
    environment.tmkd("recipes", "copy", "cub_mobilenet", "my.yaml")
    environment.tmkd("check", "my.yaml", "--set", "data.dataset=birds_demo", "--set", "data.root=null")
    environment.tmkd("check", "quickstart", "--set", "train.epoch=3", code=2)
    tell("  a recipe is copied and checked; a mistake in one: exit 2")
    if bundle is not None:
        environment.tmkd("verify", bundle, code=4)
        tell("  verify without the extra runtime: exit 4")


def try_runtime(environment: Environment, bundle: Path) -> str:
    """A bundle is verified and asked; the label that it gives its first golden image."""
    expect("verified" in environment.tmkd("verify", bundle), "verify: verified")
    environment.python(GOLDEN.format(path=str(bundle / "golden" / "inputs.npz")))
    told = json.loads(environment.tmkd("predict", bundle, "golden.png", "--top", "1", "--json"))
    label = str(told["predictions"][0]["label"])
    tell(f"  predict: {label}")
    environment.tmkd("run", "quickstart", code=4)
    tell("  run without the extra cpu: exit 4")
    return label


def try_serve(environment: Environment, bundle: Path) -> None:
    """A bundle is served, and answers as `predict` does."""
    environment.python(GOLDEN.format(path=str(bundle / "golden" / "inputs.npz")))
    label = json.loads(environment.tmkd("predict", bundle, "golden.png", "--json"))["predictions"][0]["label"]
    with environment.server(bundle) as address:
        told = json.loads(ask(f"{address}/predict", (environment.work / "golden.png").read_bytes()))
    best = told["predictions"][0]["label"]
    expect(best == label, f"serve: POST /predict says {best}, as predict does; SIGTERM: exit 0", told)


def try_cpu(environment: Environment) -> Path:
    """The quickstart from its recipe to a verified bundle, outside of the project; the bundle."""
    told = json.loads(environment.tmkd("run", "quickstart", "--json"))
    bundle = environment.work / "runs" / "quickstart" / "bundle"
    expect(
        "verified" in environment.tmkd("verify", bundle),
        f"run quickstart: {told.get('state', 'done')}, and its bundle is verified",
    )
    expect((environment.work / "runs" / "quickstart" / "report.html").is_file(), "the page of the run is there")
    return bundle


def check_python(
    python: Path, name: str, wheel: Path, folder: Path, parts: Sequence[str], bundle: Path | None, keep: bool
) -> None:
    """Try the wheel with one interpreter."""
    version = wheel.name.split("-")[1]

    def within(part: str, extra: str, without: set[str], work: Callable[[Environment], None]) -> None:
        if part not in parts:
            return
        tell(f"Python {name}, {part}")
        environment = Environment(folder / f"{name}-{part}", python)
        try:
            install(environment, wheel, extra, without)
            work(environment)
        finally:
            if not keep:
                shutil.rmtree(environment.folder, ignore_errors=True)

    made = bundle

    def cpu(environment: Environment) -> None:
        nonlocal made
        made = Path(shutil.copytree(try_cpu(environment), folder / f"{name}-bundle"))

    within("cpu", "cpu", {"fastapi", "onnxruntime-gpu"}, cpu)
    within("base", "", TRAINING | RUNTIME | SERVER, lambda environment: try_base(environment, version, made))
    if made is None and set(parts) & {"runtime", "serve"}:
        raise Failed("runtime and serve are tried with a bundle: with `cpu` before them, or --bundle DIR")
    within("runtime", "runtime", TRAINING | SERVER, lambda environment: _none(try_runtime(environment, made or Path())))
    within("serve", "serve", TRAINING, lambda environment: try_serve(environment, made or Path()))


def _none(_: object) -> None:
    """Nothing, in place of a result that nobody wants."""


def main() -> int:
    """Do what the command line asks; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m release.wheel", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument("--python", default=own, metavar="VERSIONS", help=f"such as 3.11,3.12; default: {own}")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--bundle", type=Path, help="what runtime and serve are tried with; default: the quickstart's")
    parser.add_argument("--folder", type=Path, help="where the environments are made; default: a temporary one")
    parser.add_argument("--dist", type=Path, help="where sdist and wheel are left; default: nowhere")
    parser.add_argument("--keep", action="store_true", help="leave the environments in --folder")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    bundle = arguments.bundle.resolve() if arguments.bundle else None

    def work() -> None:
        pythons = {name: find_python(name) for name in arguments.python.split(",")} if set(parts) != {"inside"} else {}
        with tempfile.TemporaryDirectory(prefix="tmkd-wheel-") as temporary:
            folder = (arguments.folder or Path(temporary)).resolve()
            made = Path(temporary) / "dist"
            sdist, wheel = build(made)
            for name, python in pythons.items():
                check_python(python, name, wheel, folder, parts, bundle, arguments.keep)
            if arguments.dist is not None:
                arguments.dist.mkdir(parents=True, exist_ok=True)
                for archive in (sdist, wheel):
                    shutil.copy2(archive, arguments.dist)
        tell("the wheel works")

    return ended(work)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
