"""Install the lowest versions that pyproject.toml allows and try them: imports, tests, the quickstart.

    python -m release.floors                         with Python 3.11, which is the lowest too
    python -m release.floors --only install          resolve, install and import; try nothing
    python -m release.floors --tests tests/exporters/onnx

uv resolves with `--resolution lowest-direct`: what the project names is as low as it may be, and what these require in
turn is new. A floor that cannot be reached, since another package asks for more, is a mistake: it says what nobody has
tried. The extra `gpu` is left out. Exit codes: 0 as it must be, 3 something is not, 4 something is missing here.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from release.checking import ROOT, call, ended, expect, tell
from release.contents import project
from release.environments import Environment, find_python
from release.wheel import build, try_cpu

PYTHON = "3.11"
GROUPS = (("cpu", "serve", "openvino"), ("hf", "search", "signing", "track", "load"))
"""Extras that are installed together. The second ones ask for newer packages than the base's floors."""
PARTS = ("install", "tests", "quickstart")
TESTS = (
    "tests/exporters/bundle",
    "tests/exporters/fp16",
    "tests/exporters/images",
    "tests/exporters/onnx",
    "tests/exporters/openvino",
    "tests/exporters/parity",
    "tests/exporters/quantize",
    "tests/exporters/serving",
    "tests/exporters/student",
    "tests/pipeline/console",
    "tests/pipeline/data",
    "tests/pipeline/evaluation",
    "tests/pipeline/models",
    "tests/pipeline/training",
)
"""Tests of what uses a dependency directly."""
# Schemathesis asks for newer packages than the floors are; older onnx has fewer fields than the reader's tables.
WITHOUT = (
    "--ignore=tests/exporters/serving/test_schemas.py",
    "--deselect=tests/exporters/onnx/test_reader.py::test_tables_know_every_field_of_the_onnx_package",
)
TOOLS = (
    "pytest", "pytest-cov", "pytest-timeout", "pytest-xdist", "hypothesis", "jsonschema", "torchdistill",
    "cyclonedx-python-lib[json-validation]", "tritonclient[grpc,http]",
)  # fmt: skip
MODULES = {
    "cyclonedx-python-lib": "cyclonedx",
    "mlflow-skinny": "mlflow",
    "open-clip-torch": "open_clip",
    "pillow": "PIL",
    "pyopenssl": "OpenSSL",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}
"""What a package is imported as, where that is not its name."""


def asked(extras: Sequence[str], *, base: bool) -> dict[str, Requirement]:
    """What some extras ask for, and what the project needs without any if `base`: name → requirement."""
    ours = project()
    known: dict[str, list[str]] = ours["optional-dependencies"]
    found: dict[str, Requirement] = {}
    waiting, done = list(extras), set()
    texts = list(ours["dependencies"]) if base else []
    while waiting:
        extra = waiting.pop()
        done.add(extra)
        texts += known[extra]
        own = [Requirement(text) for text in known[extra]]
        waiting += [name for each in own if each.name == ours["name"] for name in each.extras - done]
    for requirement in map(Requirement, texts):
        if requirement.name != ours["name"]:
            found[canonicalize_name(requirement.name)] = requirement
    return found


def floor(requirement: Requirement) -> str:
    """The lowest version that a requirement allows."""
    return next(iter(requirement.specifier)).version


def install(environment: Environment, wheel: Path, extras: Sequence[str], *, base: bool) -> dict[str, str]:
    """Install the lowest versions; what is installed.

    Raises:
        Failed: a floor is not what is installed, or a package cannot be imported.
    """
    tell(f"the lowest versions of {', '.join(extras)}")
    wanted = asked(extras, base=base)
    # Lowest are the versions of what is named here, and not of what a wheel asks for.
    words = ["--resolution", "lowest-direct", *map(str, wanted.values())]
    environment.install(*words, f"tmkd-pipeline[{','.join(extras)}] @ {wheel.as_uri()}")
    installed: dict[str, str] = {canonicalize_name(name): text for name, text in environment.packages().items()}
    apart = [
        f"{requirement}: {installed[name]} is the lowest that goes with the others"
        for name, requirement in wanted.items()
        if name in installed and Version(installed[name]) != Version(floor(requirement))
    ]
    expect(not apart, f"{len(wanted)} floors can be reached", "\n".join(apart))
    modules = [MODULES.get(name, name.replace("-", "_")) for name in wanted if name in installed]
    environment.python(f"import importlib\nfor name in {modules!r}: importlib.import_module(name)")
    tell(f"  {len(modules)} packages are imported")
    return installed


def try_tests(environment: Environment, installed: Mapping[str, str], tests: Sequence[str]) -> None:
    """Run tests of the clone beside what is installed, which test tools must leave as it is."""
    kept = environment.folder / "kept.txt"
    kept.write_text("".join(f"{name}=={version}\n" for name, version in installed.items() if name != "tmkd-pipeline"))
    environment.install("--constraint", kept, *TOOLS)
    words = ["-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *WITHOUT, *tests]
    told = call([environment.bin / "python", *words], at=ROOT, environment=environment.variables)
    tell(f"  tests: {told.strip().splitlines()[-1]}")


def main() -> int:
    """Do what the command line asks; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m release.floors", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default=PYTHON, help=f"default: {PYTHON}")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--tests", nargs="*", default=TESTS, metavar="PATH", help="tests to run; default: all of TESTS")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")

    def work() -> None:
        python = find_python(arguments.python)
        with tempfile.TemporaryDirectory(prefix="tmkd-floors-") as temporary:
            folder = Path(temporary)
            _, wheel = build(folder / "dist")
            for extras in GROUPS:
                environment = Environment(folder / extras[0], python)
                installed = install(environment, wheel, extras, base=extras is GROUPS[0])
                if "tests" in parts and extras is GROUPS[0]:
                    try_tests(environment, installed, arguments.tests)
                if "quickstart" in parts and extras is GROUPS[0]:
                    try_cpu(environment)
                shutil.rmtree(environment.folder)
        tell("the floors work")

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
