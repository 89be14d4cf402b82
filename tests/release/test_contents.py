"""What a wheel and an sdist hold."""

from pathlib import Path

import pytest

from release.contents import (
    HOSTING,
    NEEDED,
    PACKAGES,
    differences,
    members,
    metadata_mistakes,
    places_named,
    project,
    sdist_mistakes,
    wheel_files,
    wheel_mistakes,
)

ROOT = Path(__file__).resolve().parents[2]
METADATA = f"""Metadata-Version: 2.4
Name: tmkd-pipeline
Version: 0.1.0
Summary: {project()["description"]}
License-Expression: Apache-2.0
Requires-Python: >=3.11
{"".join(f"Provides-Extra: {extra}{chr(10)}" for extra in sorted(project()["optional-dependencies"]))}
{"a README " * 200}
"""


def on_disk(*folders: str) -> set[str]:
    """The files of folders, without what Python compiles."""
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    return {str(path.relative_to(ROOT)) for path in paths if path.is_file() and "__pycache__" not in path.parts}


def whole() -> dict[str, bytes]:
    """A wheel as it should be."""
    info = "tmkd_pipeline-0.1.0.dist-info"
    return dict.fromkeys(wheel_files(on_disk(*PACKAGES, "configs")), b"") | {
        f"{info}/METADATA": METADATA.encode(),
        f"{info}/entry_points.txt": b"[console_scripts]\ntmkd-pipeline = pipeline.__main__:main\n",
        f"{info}/licenses/LICENSE": (ROOT / "LICENSE").read_bytes(),
    }


def told(inside: dict[str, bytes]) -> list[str]:
    return wheel_mistakes(inside, wheel_files(on_disk(*PACKAGES, "configs")), ["/home/someone/tmkd"])


def test_wheel_takes_the_packages_and_configs_and_nothing_else() -> None:
    """By the builder itself, which lists what it would take without building."""
    hatchling = pytest.importorskip("hatchling.builders.wheel")
    builder = hatchling.WheelBuilder(str(ROOT))
    taken = {str(file.distribution_path) for file in builder.recurse_included_files()}
    assert taken == wheel_files(on_disk(*PACKAGES, "configs"))
    assert set(NEEDED) <= taken


def test_sdist_takes_what_tests_and_documents_need() -> None:
    hatchling = pytest.importorskip("hatchling.builders.sdist")
    taken = {str(file.distribution_path) for file in hatchling.SdistBuilder(str(ROOT)).recurse_included_files()}
    folders = ("pipeline", "exporters", "configs", "tests", "release", "benchmarks", "docker", "docs")
    assert on_disk(*folders) <= taken
    # The licence, README.md and pyproject.toml are put in by the builder itself.
    assert {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "Makefile", "requirements.lock"} <= taken
    assert not [name for name in taken if name.split("/")[0] in (".venv", ".git", "runs", "data", "dist", "build")]


def test_wheel_as_it_should_be_has_no_mistakes() -> None:
    assert told(whole()) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tests/conftest.py": b""}, "tests/conftest.py does not belong inside"),
        ({"pipeline/runs/a/model.onnx": b""}, "pipeline/runs/a/model.onnx is left from work"),
        ({"pipeline/__pycache__/cli.pyc": b""}, "pipeline/__pycache__/cli.pyc is left from work"),
        ({"exporters/weights.safetensors": b""}, "exporters/weights.safetensors is left from work"),
        (
            {"pipeline/cli.py": b"HERE = '/home/someone/tmkd/x'"},
            "pipeline/cli.py names /home/someone/tmkd, a folder of",
        ),
        ({"tmkd_pipeline-0.1.0.dist-info/licenses/LICENSE": b"MIT"}, "the licence is not the project's"),
        ({"tmkd_pipeline-0.1.0.dist-info/entry_points.txt": b""}, "the command tmkd-pipeline is not declared"),
    ],
)
def test_what_does_not_belong_in_a_wheel_is_told(change: dict[str, bytes], expected: str) -> None:
    assert any(line.startswith(expected) for line in told(whole() | change))


@pytest.mark.parametrize(
    "name", ["pipeline/py.typed", "pipeline/_configs/recipes/quickstart.yaml", "exporters/client.py"]
)
def test_what_is_missing_in_a_wheel_is_told(name: str) -> None:
    inside = whole()
    del inside[name]
    assert f"{name} is not inside" in told(inside)


def test_metadata_are_held_against_the_project() -> None:
    assert metadata_mistakes(METADATA) == []
    assert metadata_mistakes(METADATA.replace(">=3.11", ">=3.9")) == [
        "METADATA says Requires-Python: >=3.9, not >=3.11"
    ]
    assert metadata_mistakes(METADATA.replace("Provides-Extra: serve\n", "")) == ["METADATA has no extra serve"]
    assert metadata_mistakes(METADATA.replace("a README ", "")) == ["METADATA has no README"]


def test_place_of_two_parts_names_nobody() -> None:
    assert places_named({"a": b"/root/x"}, ["/root"]) == []
    assert places_named({"a": b"/root/x"}, ["/root/x"]) == ["a names /root/x, a folder of this machine"]


def test_sdist_holds_what_git_knows() -> None:
    files = {"pipeline/cli.py", f"{HOSTING}ISSUE_TEMPLATE/bug.yml", "tests/test_a.py"}
    inside = {"pipeline/cli.py": b"", "tests/test_a.py": b"", "PKG-INFO": b""}
    assert sdist_mistakes(inside, files, []) == []
    del inside["tests/test_a.py"]
    inside["notes.txt"] = b""
    assert sdist_mistakes(inside, files, []) == ["tests/test_a.py is not inside", "notes.txt does not belong inside"]


def test_archives_are_compared_file_by_file(tmp_path: Path) -> None:
    import tarfile
    import zipfile

    with zipfile.ZipFile(tmp_path / "a-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("pipeline/cli.py", "x")
        wheel.writestr("pipeline/same.py", "same")
    (tmp_path / "same.py").write_text("same")
    with tarfile.open(tmp_path / "a-1.tar.gz", "w:gz") as sdist:
        sdist.add(tmp_path / "same.py", "a-1/pipeline/same.py")
    one, other = members(tmp_path / "a-1-py3-none-any.whl"), members(tmp_path / "a-1.tar.gz")
    assert other == {"pipeline/same.py": b"same"}
    assert differences(one, other) == ["pipeline/cli.py"]
