"""`check`: mistakes are exit 2, files that nobody will fetch exit 4, and a data set to prepare is mentioned."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.catalog import recipe_names
from pipeline.preflight import packages
from tests.pipeline.conftest import Outcome, assert_one_clear_error, run_command, write

RECIPE = """\
data: {dataset: folder, root: photos}
teacher:
  visual: {model: resnet18, weights: none, fit: {epochs: 1}}
  text: {model: tiny, weights: fit}
student: {model: "cifar:resnet20"}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    return Path("mine.yaml")


def said(outcome: Outcome) -> list[str]:
    """The lines of the output, without those that a machine prints that is slow to build networks."""
    return [line for line in outcome.out.splitlines() if not line.endswith(" so far")]


def test_existing_data_folder_is_not_read(recipe: Path) -> None:
    outcome = run_command("check", recipe)
    assert (outcome.code, said(outcome), outcome.err) == (0, ["mine.yaml: no mistakes"], "")


def test_networks_that_do_not_exist_are_mistakes_with_the_nearest_names(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("resnet18", "resnet-18").replace("cifar:resnet20", "mobilenetv3_small"))
    outcome = run_command("check", recipe)
    assert outcome.code == 2
    assert (
        "mine.yaml:3:12: teacher.visual.model: expected a model of torchvision, timm or cifar, got 'resnet-18';"
        " did you mean resnet18?\n"
    ) in outcome.err
    assert "mine.yaml:5:11: student.model:" in outcome.err
    assert "did you mean mobilenet_v3_small?" in outcome.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{model: ViT-B/32}", "teacher.text.model: expected a model of open_clip, tiny, or the path of a .json"),
        ("{model: ViT-B/32}", "did you mean ViT-B-32"),
        ("{model: ViT-B-32, weights: laion2b}", "expected a tag of open_clip (laion2b_e16, "),
        ("{model: ViT-B-16-SigLIP, weights: fitted}", "or a file for teacher.text.model ViT-B-16-SigLIP, got 'fitted'"),
        ("{model: tiny, weights: openai}", "expected fit or a file for teacher.text.model tiny, got 'openai'"),
    ],
)
def test_clips_and_tags_that_do_not_exist_are_mistakes(recipe: Path, text: str, expected: str) -> None:
    recipe.write_text(RECIPE.replace("{model: tiny, weights: fit}", text))
    outcome = run_command("check", recipe)
    assert outcome.code == 2 and expected in outcome.err


def test_root_without_a_data_set_kind_is_a_mistake(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("dataset: folder, ", ""))
    outcome = run_command("check", recipe)
    assert outcome.code == 2
    assert "mine.yaml:1:1: data.dataset: expected the kind of data set that lies in data.root (photos)" in outcome.err
    assert "dataset: folder" in outcome.err and "birds_demo" not in outcome.err


def test_missing_files_are_reported_with_their_line(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("photos", "fotos").replace("weights: none", "weights: lost/teacher.pth"))
    outcome = run_command("check", recipe, "--set", "teacher.text.prompts=mine/prompts.yaml")
    assert outcome.code == 4
    assert "mine.yaml:1:25: data.root: fotos does not exist" in outcome.err
    assert "mine.yaml:3:29: teacher.visual.weights: lost/teacher.pth does not exist" in outcome.err
    assert "--set teacher.text.prompts=mine/prompts.yaml: teacher.text.prompts: mine/prompts.yaml" in outcome.err


def test_files_of_stages_that_do_not_run_are_not_asked_for(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("weights: none", "weights: lost/teacher.pth"))
    assert run_command("check", recipe, "--set", "distill.method=ce").code == 0


@pytest.mark.parametrize("dataset", ["cub200", "imagenet", "torchvision:SVHN"])
def test_a_data_set_that_can_be_prepared_is_mentioned(recipe: Path, dataset: str) -> None:
    outcome = run_command("check", recipe, "--set", f"data.dataset={dataset}", "--set", "data.root=sets/of mine")
    assert outcome.code == 0 and outcome.err == ""
    assert "mine.yaml: no mistakes\nnot here yet: --set data.root=sets/of mine: data.root: sets/of mine" in outcome.out
    assert f"`tmkd-pipeline data prepare {dataset} --root 'sets/of mine'`" in outcome.out


def test_missing_file_of_a_shipped_recipe_is_an_error_only_in_a_copy(recipe: Path) -> None:
    outcome = run_command("check", "cifar10_resnet20")
    assert outcome.code == 0 and outcome.err == ""
    assert "teacher.visual.weights: weights/resnet56-4bfd9763.th does not exist" in outcome.out
    assert run_command("recipes", "copy", "cifar10_resnet20", "own.yaml").code == 0
    outcome = run_command("check", "own.yaml")
    assert outcome.code == 4 and "own.yaml:" in outcome.err and "teacher.visual.weights" in outcome.err


def test_batch_norm_on_single_images_is_warned_of_for_known_networks(recipe: Path) -> None:
    single = ("--set", "train.batch_size=1", "--set", "teacher.visual.fit.batch_size=1")
    outcome = run_command("check", recipe, *single)
    assert outcome.code == 0
    assert "WARNING: train.batch_size: a batch is one image, so that the batch norms of the student" in outcome.out
    assert "WARNING: teacher.visual.fit.batch_size: a batch is one image" in outcome.out
    outcome = run_command("check", recipe, *single, "--set", "student.model=vit_b_16", "--set", "distill.method=ce")
    assert outcome.code == 0 and "WARNING" not in outcome.out


def test_networks_that_do_not_suit_the_method_are_mistakes_with_their_line(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace('"cifar:resnet20"', "vit_b_16") + "distill: {method: cat_kd}\n")
    outcome = run_command("check", recipe)
    assert_one_clear_error(outcome, 2)
    assert "mine.yaml:6:1: distill: cat_kd compares class activation maps, and the student has none" in outcome.err
    assert run_command("check", recipe, "--set", "distill.method=kd").code == 0


def test_what_this_machine_lacks_is_said_and_no_mistake(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    asked = ("--set", "teacher.runtime=openvino", "--set", "device=cpu")
    outcome = run_command("check", recipe, *asked)
    lacks = "--set teacher.runtime=openvino: teacher.runtime: OpenVINO is not installed"
    assert (outcome.code, outcome.err) == (0, "")
    assert said(outcome)[0] == "mine.yaml: no mistakes"
    assert said(outcome)[1].startswith(f"WARNING: not on this machine: {lacks}")
    found = json.loads(run_command("check", recipe, *asked, "--json").out)
    assert found["not_on_this_machine"][0].startswith(lacks) and not found["mistakes"] and not found["missing"]


def test_without_pytorch_networks_are_left_to_the_run(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "torch" else object())
    outcome = run_command("check", recipe, "--set", "student.arguments={no_such: 1}")
    assert (outcome.code, outcome.err) == (0, "")
    assert said(outcome)[:3] == [
        "mine.yaml: no mistakes",
        "not looked at: networks whose packages are not installed",
        "WARNING: not on this machine: torch is not installed, and this run needs it",
    ]


def test_json_keeps_mistakes_apart_from_what_is_missing(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("photos", "fotos"))
    outcome = run_command("check", recipe, "--set", "student.arguments={no_such: 1}", "--json")
    found = json.loads(outcome.out)
    assert outcome.code == 2 and outcome.err.count("no_such") > 0 and "fotos does not exist" in outcome.err
    (mistake,), (missing,) = found["mistakes"], found["missing"]
    assert "mine.yaml:5:1: student: cifar:resnet20 cannot be built with" in mistake
    assert "fotos does not exist" in missing and found["not_on_this_machine"] == []


def test_weights_of_another_hash_are_not_those_that_are_meant(recipe: Path) -> None:
    Path("own.pth").write_bytes(b"weights")
    recipe.write_text(RECIPE.replace("weights: none", f"weights: own.pth, sha256: {'a' * 64}"))
    outcome = run_command("check", recipe)
    assert_one_clear_error(outcome, 4)
    assert "mine.yaml:3:29: teacher.visual.weights: own.pth: not the weights that the recipe means" in outcome.err


def test_weights_of_another_hash_are_not_on_their_way_in_a_shipped_recipe(recipe: Path) -> None:
    Path("weights").mkdir()
    Path("weights/resnet56-4bfd9763.th").write_bytes(b"weights")
    assert run_command("check", "cifar10_resnet20").code == 0
    outcome = run_command("check", "cifar10_resnet20", "--set", f"teacher.visual.sha256={'a' * 64}")
    assert_one_clear_error(outcome, 4)
    assert "not the weights that the recipe means" in outcome.err


def test_run_without_its_data_gives_exit_code_4(recipe: Path) -> None:
    outcome = run_command("run", "recipes/cub_mobilenet.yaml")
    assert outcome.code == 4 and "data prepare cub200 --root data/CUB_200_2011" in outcome.err


SHIPPED = tuple(recipe_names())


def test_syntax_error_has_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.yaml", "name: x\ntrain:\n  epochs: [1, 2\n  lr: 3\n")
    outcome = run_command("check", path)
    assert_one_clear_error(outcome, 2)
    with pytest.raises(yaml.MarkedYAMLError) as parsed:
        yaml.safe_load(path.read_text())
    mark = parsed.value.problem_mark
    assert mark is not None and f"{path}:{mark.line + 1}:{mark.column + 1}" in outcome.err


def test_unknown_key_three_levels_deep_suggests_the_nearest(tmp_path: Path) -> None:
    text = "data: {dataset: birds_demo}\nteacher:\n  visual:\n    fit:\n      epochs: 3\n      batchsize: 2\n"
    outcome = run_command("check", write(tmp_path / "bad.yaml", text))
    assert_one_clear_error(outcome, 2)
    assert (
        "bad.yaml:6:7: teacher.visual.fit.batchsize: unknown key; did you mean teacher.visual.fit.batch_size"
        in outcome.err
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_have_no_mistakes(name: str) -> None:
    named = SHIPPED.index(name) % 2  # half of them by path: both ways for each would build its networks twice
    outcome = run_command("check", name if named else f"recipes/{name}.yaml")
    assert outcome.code == 0 and said(outcome)[0].endswith(f"{name}.yaml: no mistakes")
