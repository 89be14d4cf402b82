"""compose.yaml and the CI examples: pinned, and true to the command line, the Makefile and the images."""

import re
import shlex
from typing import Any

import pytest
import yaml

from tests.docker.dockerfiles import DOCKERFILES, ROOT
from tests.docs.test_commands import find_command

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
GITHUB = ROOT / "docs" / "ci" / "github-actions.yml"
GITLAB = ROOT / "docs" / "ci" / "gitlab-ci.yml"
each_example = pytest.mark.parametrize("example", [GITHUB, GITLAB], ids=lambda path: path.stem)


def scripts(node: Any) -> list[str]:
    """Every shell line of a workflow: `run` of GitHub, `script` of GitLab; continued lines joined."""
    if isinstance(node, list):
        return [line for child in node for line in scripts(child)]
    if not isinstance(node, dict):
        return []
    found = []
    for key, value in node.items():
        if key in ("run", "script"):
            found += [line for text in ([value] if isinstance(value, str) else value) for line in text.splitlines()]
        else:
            found += scripts(value)
    return [line.strip() for line in found]


def calls(example: Any) -> list[list[str]]:
    """The words after `tmkd-pipeline`, wherever it is called."""
    found = []
    for line in scripts(yaml.safe_load(example.read_text("utf-8"))):
        words = shlex.split(line.partition("||")[0].partition(" > ")[0])
        for i, word in enumerate(words):
            if word.endswith("bin/tmkd-pipeline") or (word == "tmkd-pipeline:serve" and "run" in words[:i]):
                found.append(words[i + 1 :])
    return found


def test_each_service_has_a_profile_of_its_name() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items()} == {
        name: [name] for name in ("train", "serve", "triton")
    }


def test_images_are_built_locally_or_pinned() -> None:
    for name, service in SERVICES.items():
        if "build" in service:
            assert (ROOT / "docker" / service["build"]["context"]).resolve() == ROOT
            assert ROOT / service["build"]["dockerfile"] == DOCKERFILES[name]
            assert service["image"] == f"tmkd-pipeline:{name}"
        else:
            assert re.fullmatch(r"[\w./-]+:\d+\.\d+-\w+", service["image"])


def test_gpus_are_reserved_for_training_and_triton_alone() -> None:
    reserved = {
        name
        for name, service in SERVICES.items()
        for device in service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
        if device["driver"] == "nvidia" and device["capabilities"] == ["gpu"]
    }
    assert reserved == {"train", "triton"}


def test_bundle_is_read_only_and_ports_are_local() -> None:
    for name in ("serve", "triton"):
        (volume,) = SERVICES[name]["volumes"]
        assert volume["read_only"] is True
        assert volume["bind"] == {"create_host_path": False}, "a folder that is not there must be an error"
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])
    assert SERVICES["serve"]["volumes"][0]["target"] == "/bundle"
    assert SERVICES["triton"]["volumes"][0]["target"] in SERVICES["triton"]["command"][1]


def test_service_runs_read_only_without_privileges() -> None:
    service = SERVICES["serve"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in str(COMPOSE)


def test_service_port_matches_the_image() -> None:
    exposed = re.findall(r"^EXPOSE (\d+)$", DOCKERFILES["serve"].read_text("utf-8"), re.MULTILINE)
    assert [port.rpartition(":")[2] for port in SERVICES["serve"]["ports"]] == exposed


def test_training_runs_a_valid_command_and_keeps_its_cache() -> None:
    command, path, rest = find_command(SERVICES["train"]["command"])
    command.make_context(path, rest)
    targets = {volume["target"]: volume.get("source") for volume in SERVICES["train"]["volumes"]}
    text = DOCKERFILES["train"].read_text("utf-8")
    assert targets["/cache"] in COMPOSE["volumes"]
    assert "HOME=/cache" in text
    assert f"WORKDIR {next(target for target in targets if target != '/cache')}" in text


@each_example
def test_commands_of_the_examples_exist(example: Any) -> None:
    found = calls(example)
    assert [words[0] for words in found if words[0] == "run"] == ["run"]
    for words in found:
        command, path, rest = find_command(words)
        command.make_context(path, rest)


@each_example
def test_make_targets_and_files_of_the_examples_exist(example: Any) -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    lines = scripts(yaml.safe_load(example.read_text("utf-8")))
    assert set(re.findall(r"\bmake ([a-z-]+)", "\n".join(lines))) <= set(targets)
    for name in re.findall(r"docker/\S+\.Dockerfile", example.read_text("utf-8")):
        assert (ROOT / name).is_file()


@each_example
def test_the_bundle_is_published_only_if_the_run_succeeded(example: Any) -> None:
    text = example.read_text("utf-8")
    assert "allow_failure" not in text
    assert "continue-on-error" not in text
    assert "runs/student/bundle.tar" in text
    assert all("--run-dir" in words and "runs/student" in words for words in calls(example) if words[0] == "run")


@each_example
def test_the_new_bundle_is_compared_before_it_is_published(example: Any) -> None:
    text = example.read_text("utf-8")
    (words,) = [words for words in calls(example) if words[0] == "diff"]
    assert words[1:3] == ["published/bundle", "runs/student"]
    assert {"--max-drop", "--max-class-drop", "--max-slower", "--max-larger"} <= set(words)
    assert text.index("tmkd-pipeline run") < text.index("tmkd-pipeline diff")
    publishes = "name: Publish the bundle" if "jobs:" in text else "publish:"
    assert text.index("tmkd-pipeline diff") < text.index(publishes)


def test_actions_are_pinned_to_commits() -> None:
    text = GITHUB.read_text("utf-8")
    uses = re.findall(r"uses: *(\S+)(.*)", text)
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), f"{action} can change under its name"
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)
    commits: dict[str, set[str]] = {}
    for action, _ in uses:
        name, _, commit = action.partition("@")
        commits.setdefault(name, set()).add(commit)
    assert all(len(found) == 1 for found in commits.values())
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}


def test_github_passes_the_exit_code_on_and_explains_each() -> None:
    (run,) = (
        step["run"]
        for step in yaml.safe_load(GITHUB.read_text("utf-8"))["jobs"]["train"]["steps"]
        if "tmkd-pipeline run" in step.get("run", "")
    )
    assert set(re.findall(r"^ *(\d)\)", run, re.MULTILINE)) == {"0", "2", "3", "4"}
    assert run.rstrip().endswith('exit "$code"')
    assert "${{" not in run, "an input in a script would be a way to run commands"


def test_gitlab_publishes_after_training() -> None:
    jobs = yaml.safe_load(GITLAB.read_text("utf-8"))
    assert jobs["publish"]["needs"] == ["train"]
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-\w+", jobs["default"]["image"])
    assert jobs["train"]["retry"]["when"] == ["runner_system_failure"], "a missed gate is not tried again"
