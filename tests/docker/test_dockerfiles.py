"""What can go stale in the Dockerfiles: file names, extras, commands, and how they are run."""

import json
import re
import shutil
import subprocess
import tomllib

import pytest

from tests.docker.dockerfiles import DOCKERFILES, ROOT, Instruction, enters_a_build, last, read
from tests.docs.test_commands import find_command

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
each_image = pytest.mark.parametrize("image", DOCKERFILES)


def of(image: str, name: str) -> list[Instruction]:
    return [instruction for instruction in read(DOCKERFILES[image]) if instruction.name == name]


def test_there_are_three_images() -> None:
    assert set(DOCKERFILES) == {"ci", "serve", "train"}


@each_image
def test_bases_are_pinned(image: str) -> None:
    stages: set[str] = set()
    for instruction in of(image, "FROM"):
        base, *alias = instruction.words
        assert base in stages or re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+-[\w.-]+", base), f"{base} is not pinned"
        stages |= set(alias[1:])


@each_image
def test_copied_sources_exist_and_are_not_ignored(image: str) -> None:
    for instruction in of(image, "COPY"):
        if "--from=" in instruction.text:
            continue
        for source in instruction.words[:-1]:
            assert (ROOT / source).exists(), f"{source} is not there"
            assert source == "." or enters_a_build(source), f".dockerignore keeps {source} out"


@each_image
def test_packages_come_before_the_source(image: str) -> None:
    """A change of the source must not reinstall PyTorch."""
    text = [f"{instruction.name} {instruction.text}" for instruction in read(DOCKERFILES[image])]
    installs = next(i for i, line in enumerate(text) if re.search(r"uv pip (?:sync|install) ", line))
    sources = next(i for i, line in enumerate(text) if re.match(r"COPY (?:--\S+ )?(?:\.|pipeline|exporters) ", line))
    assert installs < sources


@each_image
def test_known_extras_and_the_lock_are_used(image: str) -> None:
    text = " ".join(instruction.text for instruction in of(image, "RUN"))
    assert set(re.findall(r"--extra (\S+)", text)) <= set(PROJECT["optional-dependencies"])
    assert re.search(r"--constraint requirements\.lock|pip sync .*requirements\.lock", text)


def test_each_image_installs_its_extras() -> None:
    extras = {name: set(re.findall(r"--extra (\S+)", path.read_text())) for name, path in DOCKERFILES.items()}
    assert extras == {"serve": {"serve"}, "train": {"gpu", "dev"}, "ci": set()}


def test_packages_outside_the_lock_are_pinned() -> None:
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    text = DOCKERFILES["train"].read_text("utf-8")
    for requirement in PROJECT["optional-dependencies"]["gpu"]:
        name, least = re.fullmatch(r"([\w-]+)(?:\[.*\])?(?:>=([\d.]+))?", requirement).groups()  # type: ignore[union-attr]
        if name not in locked | {PROJECT["name"]}:
            (pinned,) = re.findall(rf"\b{name}==([\d.]+)", text)
            assert [int(part) for part in pinned.split(".")] >= [int(part) for part in least.split(".")]


def test_tools_have_one_version() -> None:
    """uv of all images, and the Python of the images that have Debian's."""
    text = "".join(path.read_text("utf-8") for path in DOCKERFILES.values())
    assert len(set(re.findall(r"\buv==(\S+)", text))) == 1
    assert len(set(re.findall(r"FROM (python:\S+)", text))) == 1
    assert not re.findall(r"pip install [^&|\n]*\b(?:uv|hatchling)(?!==)\b(?: |$)", text)


@each_image
def test_image_does_not_run_as_root(image: str) -> None:
    user, group = last(DOCKERFILES[image], "USER").text.split(":")
    assert int(user) >= 1000
    assert int(group) >= 1000


@each_image
def test_telemetry_is_disabled(image: str) -> None:
    assert "ORT_DISABLE_TELEMETRY=1" in last(DOCKERFILES[image], "ENV").words


@each_image
def test_image_contains_no_foreign_address_or_certificate(image: str) -> None:
    text = DOCKERFILES[image].read_text("utf-8")
    assert set(re.findall(r"\w+://([\w.]+)", text)) <= {"127.0.0.1"}
    for name in ("PIP_INDEX_URL", "PIP_CERT", "UV_DEFAULT_INDEX", "SSL_CERT_FILE"):
        assert re.findall(rf"\b{name}\b.*", text) == [name], f"{name} has no default, and is of the build alone"


@each_image
def test_no_package_cache_is_left_behind(image: str) -> None:
    text = DOCKERFILES[image].read_text("utf-8")
    assert text.count("pip install --quiet") == text.count("--no-cache-dir")
    assert "UV_NO_CACHE=1" in text or len(re.findall(r"bin/uv pip", text)) == len(
        re.findall(r"--no-cache\b(?!-)", text)
    )
    assert text.count("apt-get install") == text.count("rm -rf /var/lib/apt/lists/*")


@each_image
def test_entry_point_exists_and_uses_the_exec_form(image: str) -> None:
    """The exec form has no shell between the engine and the program."""
    path = DOCKERFILES[image]
    words = [
        word
        for name in ("ENTRYPOINT", "CMD")
        for instruction in of(image, name)[-1:]
        for word in json.loads(instruction.text)
    ]
    if words[0] == "tmkd-pipeline":
        command, full, rest = find_command(words[1:])
        if rest != ["--help"]:
            command.make_context(full, rest)
    else:
        assert (ROOT / words[0]).is_file() and enters_a_build(words[0]), f"{path.name}: {words[0]} is not there"


@each_image
def test_labels_describe_the_image(image: str) -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', last(DOCKERFILES[image], "LABEL").text))
    assert set(labels) == {"title", "description", "licenses", "base.name", "revision"}
    assert labels["licenses"] == PROJECT["license"]
    assert labels["base.name"].endswith(last(DOCKERFILES[image], "FROM").words[0])
    assert labels["revision"] == "$REVISION"


def test_health_check_asks_the_port_of_the_service() -> None:
    path = DOCKERFILES["serve"]
    words = last(path, "CMD").words
    port = words[words.index("--port") + 1]
    assert last(path, "EXPOSE").text == port
    (health,) = (instruction.text for instruction in of("serve", "HEALTHCHECK"))
    code = json.loads(health[health.index("[") :])
    assert code[:2] == ["python", "-c"]
    compile(code[2], "healthcheck", "exec")
    assert f"http://127.0.0.1:{port}/v2/health/ready" in code[2]


def test_the_service_has_no_torch_and_no_tools() -> None:
    text = DOCKERFILES["serve"].read_text("utf-8")
    final = read(DOCKERFILES["serve"])
    final = final[max(i for i, instruction in enumerate(final) if instruction.name == "FROM") :]
    assert not [instruction for instruction in final if instruction.name == "RUN"]
    assert not re.search(r"\b(?:curl|wget|apt-get)\b", text)


@pytest.mark.parametrize(("image", "extra"), [("ci", "cpu"), ("train", "gpu")])
def test_make_does_not_reinstall_the_environment(image: str, extra: str) -> None:
    """`make` in the image must not reinstall what the image already has."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "INSTALLED := $(VENV)/.installed-$(EXTRA)" in makefile
    text = DOCKERFILES[image].read_text("utf-8")
    assert f"touch .venv/.installed-{extra}" in text
    assert re.search(rf"^\s+EXTRA={extra}\b", text, re.MULTILINE)


def test_only_the_project_enters_a_build() -> None:
    for name in ("pipeline/cli.py", "configs/recipes/quickstart.yaml", ".ci/run", "README.md", "tests/conftest.py"):
        assert enters_a_build(name), name
    for name in (".git/config", ".venv/bin/python", ".env", "runs/quickstart/bundle.tar", "data/cub/1.jpg", "key.pem",
                 "weights.pt", "pipeline/__pycache__/cli.cpython-311.pyc", "docker/__pycache__/check.pyc",
                 "examples/javascript/node_modules/a.js"):  # fmt: skip
        assert not enters_a_build(name), name


def test_the_sdist_and_the_images_hold_the_same_project() -> None:
    """What is tested in the CI image is the whole project."""
    included = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["sdist"]
    assert {"docker", ".dockerignore"} <= set(included["include"])
    for name in included["include"]:
        assert enters_a_build(name), f".dockerignore keeps {name} out"


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(["hadolint", *map(str, DOCKERFILES.values())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
