"""Recipes from files: all mistakes at once, each where it stands."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from exporters.core.files import sha256_file
from pipeline.catalog import recipe_names
from pipeline.data.registry import dataset_names
from pipeline.recipe import load_recipe
from pipeline.settings import any_of
from tests.pipeline.recipe.reading.conftest import mistakes

Write = Callable[[str], str]


def test_a_recipe_comes_with_its_text_and_hash(write: Write) -> None:
    loaded = load_recipe(write("seed: 3 # three\n"), ["seed=4"])
    assert loaded.recipe.seed == 4
    assert loaded.text == "seed: 3 # three\n"
    assert loaded.sha256 == sha256_file(loaded.path)


@pytest.mark.parametrize(
    ("file", "name"), [("my_run.v2.yaml", "my_run.v2"), ("my run.yaml", "my-run"), ("été.yaml", "t"), ("…", "recipe")]
)
def test_name_is_that_of_the_file(file: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_text("seed: 1\n")
    assert load_recipe(path).recipe.name.strip("-") == name


def test_unknown_key_three_levels_deep_suggests_the_nearest(write: Write) -> None:
    source = write("seed: 1\ntrain:\n  schedule:\n    milestonez: [1]\n")
    assert mistakes(source) == [
        "recipe.yaml:4:5: train.schedule.milestonez: unknown key; did you mean train.schedule.milestones?"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: {epochs: 010}", "1:17: train.epochs: 010 is read as 8, since a leading 0 makes it octal; write 10"),
        ("data: {image_size: 064}", "1:20: data.image_size: 064 is read as 52, since a leading 0 makes it octal"),
        ("train:\n  batch_size: 1:30", "2:15: train.batch_size: 1:30 is read as 90"),
        ("train: {epochs: 09}", "1:9: train.epochs: expected an integer ≥ 1 and ≤ 100000, got '09'; write 9"),
        ("train: {epochs: '1_000'}", "1:9: train.epochs: expected an integer ≥ 1 and ≤ 100000, got '1_000'; write 1"),
        ("data: {dataset: folder, root: 2024}",
         "1:25: data.root: expected a text or null, got 2024; a text is written in quotes: '2024'"),
        ("teacher: {text: {model: yes}}",
         "1:18: teacher.text.model: expected a text, got true; a text is written in quotes: 'yes'"),
        ("student: {arguments: {bias: on}}",
         "1:23: student.arguments.bias: on is read as true; write true, or 'on' for the text"),
        ("student: {arguments: {size: 1:30}}", "1:29: student.arguments.size: 1:30 is read as 90"),
        ("export: {tensorrt: {compute_capabilities: [8.9]}}",
         "1:44: export.tensorrt.compute_capabilities[0]: expected a text such as '8.9', got 8.9;"
         " a text is written in quotes: '8.9'"),
    ],
)  # fmt: skip
def test_spellings_that_yaml_misreads_are_refused(write: Write, text: str, expected: str) -> None:
    (line,) = mistakes(write(text))
    assert line.startswith(f"recipe.yaml:{expected}")


def test_on_and_off_are_switches_only_where_one_is_expected(write: Write) -> None:
    assert load_recipe(write("data: {augment: {flip: off}}")).recipe.data.augment.flip is False
    assert load_recipe(write("student: {arguments: {bias: 'on', other: true}}")).recipe.student.arguments == {
        "bias": "on",
        "other": True,
    }


def test_mistake_of_an_override_shows_the_overrides_spelling(write: Write) -> None:
    source = write("student: {arguments: {bias: on}}\n")
    assert load_recipe(source, ["student.arguments.bias=false"]).recipe.student.arguments == {"bias": False}
    (line,) = mistakes(source, "student.arguments.bias=off")
    assert line == (
        "--set student.arguments.bias=off: student.arguments.bias: off is read as false; write false, or 'off' for the"
        " text"
    )


def test_key_at_the_wrong_level_suggests_the_right_one(write: Write) -> None:
    assert mistakes(write("epochs: 3\n")) == ["recipe.yaml:1:1: epochs: unknown key; did you mean train.epochs?"]


def test_dotted_key_suggests_nesting(write: Write) -> None:
    (line,) = mistakes(write("train.epochs: 3\n"))
    assert line.endswith("write epochs below train")


def test_wrong_type_names_the_expected_one(write: Write) -> None:
    assert mistakes(write("train:\n  epochs: ten\n")) == [
        "recipe.yaml:2:3: train.epochs: expected an integer ≥ 1 and ≤ 100000, got 'ten'"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "train: {schedule: {milestones: [3, x]}}",
            "1:36: train.schedule.milestones[1]: expected an integer ≥ 1, got 'x'",
        ),
        ("data: {augment: {scale: [0.5, 2]}}", "1:31: data.augment.scale[1]: expected a number > 0 and ≤ 1, got 2"),
        ("data: {augment: {scale: [0.5]}}", "1:18: data.augment.scale: expected a list of 2 values, each a number"),
        ("train: {lr: .inf}", "1:13: expected a finite number, got .inf"),
        ("distill: {views: 5}", "1:11: distill.views: expected auto or a section of keys, got 5"),
        ("distill: {views: {A b: {kind: edge}}}", "1:19: distill.views.A b: expected a name of small letters"),
        ("distill: {views: {rgb: {kind: edge}}}", "1:19: distill.views.rgb: expected another name"),
        ("distill: {views: autom}", "1:11: distill.views: expected auto or a section of keys, got 'autom'"),
        (
            "distill: {weighting: {temperature: hot}}",
            "1:23: distill.weighting.temperature: expected a number > 0 or auto, got 'hot'",
        ),
        (
            "distill: {weighting: {temperature: 0}}",
            "1:23: distill.weighting.temperature: expected a number > 0 or auto, got 0",
        ),
        ("student: {weights: imagnet}", "1:11: student.weights: expected imagenet, none or a file such as"),
        ("name: a/b", "1:1: name: expected a text of letters, digits"),
        ("zzzz: 1", "1:1: zzzz: unknown key; known here: extends, name, seed, device, data"),
    ],
)
def test_one_mistake_gives_one_line(write: Write, text: str, words: str) -> None:
    (line,) = mistakes(write(text))
    assert line.startswith(f"recipe.yaml:{words}")


def test_empty_section_is_refused(write: Write) -> None:
    (line,) = mistakes(write("train:\n"))
    assert (
        line
        == "recipe.yaml:1:1: train: expected a section with keys such as epochs, batch_size or optimizer, got nothing"
    )


def test_a_syntax_error_has_line_and_column(write: Write) -> None:
    (line,) = mistakes(write("data:\n  root: [a\ntrain: {}\n"))
    assert line.startswith("recipe.yaml:3:6: not valid YAML: ")


@pytest.mark.parametrize("text", ["", "# nothing\n", "[1]\n", "3\n", "text\n"])
def test_file_without_a_mapping_is_refused(write: Write, text: str) -> None:
    (line,) = mistakes(write(text))
    assert line.startswith("recipe.yaml:1:1: expected keys such as data: and train:, got ")


def test_undecodable_file_is_refused(write: Write) -> None:
    Path(write("")).write_bytes(b"name: \xff\xfe\n")
    (line,) = mistakes("recipe.yaml")
    assert line == "recipe.yaml: not UTF-8 text: byte 6 cannot be read"


def test_byte_order_mark_is_ignored(write: Write) -> None:
    assert load_recipe(write("\ufeffseed: 3\n")).recipe.seed == 3


def test_a_huge_file_is_refused_unread(write: Write) -> None:
    Path(write("")).write_bytes(b"#" * 5_000_000)
    (line,) = mistakes("recipe.yaml")
    assert "longer than" in line


def test_all_mistakes_are_reported_in_file_order(write: Write) -> None:
    source = write(
        """\
seed: 1
seed: 2
data: {dataset: cub2000, workers: many}
student: 5
train:
  epochz: 3
  epochs: 100
  schedule: {milestones: [150]}
distill:
  views:
    edge: {strenght: 1, operator: sobell}
    other: {cutoff: 0.5}
    third: {kind: sketch}
teacher: {visual: {weights: none}}
"""
    )
    assert mistakes(source, "train.batch_sise=3", "seed") == [
        "recipe.yaml:2:1: seed: given twice, first in line 1",
        f"recipe.yaml:3:8: data.dataset: expected {any_of(dataset_names())}, got 'cub2000'; did you mean cub200?",
        "recipe.yaml:3:26: data.workers: expected an integer ≥ 0 and ≤ 256 or auto, got 'many'",
        "recipe.yaml:4:1: student: expected a section with keys such as model, arguments or weights, got 5",
        "recipe.yaml:6:3: train.epochz: unknown key; did you mean train.epochs?",
        "recipe.yaml:8:14: train.schedule.milestones: expected epochs before the end of train.epochs (100), got [150]; "
        "change both together",
        "recipe.yaml:11:12: distill.views.edge.strenght: unknown key; did you mean distill.views.edge.strength?",
        "recipe.yaml:11:25: distill.views.edge.operator: expected sobel, scharr or laplacian, got 'sobell'; "
        "did you mean sobel?",
        "recipe.yaml:12:5: distill.views.other: expected the key kind (edge, high_frequency, flip, zoom, grey or blur),"
        " got none",
        "recipe.yaml:13:13: distill.views.third.kind: expected edge, high_frequency, flip, zoom, grey or blur,"
        " got 'sketch'",
        "recipe.yaml:14:20: teacher.visual.weights: expected imagenet or a file where teacher.visual.fit is null, "
        "got none",
        "--set seed: expected a key, = and a value, such as train.epochs=10",
        "--set train.batch_sise=3: train.batch_sise: unknown key; did you mean train.batch_size?",
    ]


def test_consequences_of_a_mistake_are_not_reported(write: Write) -> None:
    assert len(mistakes(write("data: {dataset: cub200, root: 5}\n"))) == 1
    assert len(mistakes(write("train: {epochs: ten, schedule: {milestones: [300]}}\n"))) == 1
    assert len(mistakes(write("distill: {views: {rgb: {kind: edge}}}\n"))) == 1


def test_mistake_in_an_override_names_the_override(write: Write) -> None:
    source = write("train:\n  epochs: 100\n  schedule: {milestones: [50, 80]}\n")
    assert mistakes(source, "train.epochz=3") == [
        "--set train.epochz=3: train.epochz: unknown key; did you mean train.epochs?"
    ]
    assert mistakes(source, "train.epochs=ten")[0].startswith("--set train.epochs=ten: train.epochs: expected an int")
    assert mistakes(source, "distill.views.other.strength=1")[0].startswith("--set distill.views.other.strength=1: ")
    assert mistakes(source, "trian.epochs=3")[0].startswith("--set trian.epochs=3: trian: unknown key; did you mean ")


def test_an_override_that_breaks_a_key_of_the_file_names_both(write: Write) -> None:
    source = write("train:\n  epochs: 100\n  schedule: {milestones: [50, 80]}\n")
    assert mistakes(source, "train.epochs=60") == [
        "--set train.epochs=60: train.schedule.milestones: expected epochs before the end of train.epochs (60), "
        "got [80]; change both together"
    ]
    assert load_recipe(source, ["train.epochs=60", "train.schedule.milestones=[50]"]).recipe.train.epochs == 60


def test_override_may_correct_the_file(write: Write) -> None:
    assert load_recipe(write("train: {epochs: ten}\n"), ["train.epochs=10"]).recipe.train.epochs == 10


def test_aliases_do_not_tie_sections_together(write: Write) -> None:
    source = write("teacher: {visual: {fit: &fit {epochs: 5}}}\ntrain: *fit\n")
    recipe = load_recipe(source, ["train.epochs=7"]).recipe
    assert recipe.train.epochs == 7
    assert recipe.teacher.visual.fit is not None
    assert recipe.teacher.visual.fit.epochs == 5


@pytest.mark.parametrize("name", recipe_names())
def test_the_lock_gives_the_same_recipe_again(name: str, write: Write) -> None:
    recipe = load_recipe(name).recipe
    locked = load_recipe(write(recipe.to_yaml())).recipe
    assert locked.resolved() == recipe.resolved()


def test_loading_imports_no_torch() -> None:
    program = (
        "import sys\n"
        "from pipeline.recipe import load_recipe\n"
        "from pipeline.recipe.schema.json_schema import recipe_json_schema\n"
        "load_recipe('quickstart', ['seed=1']).recipe.to_yaml()\n"
        "recipe_json_schema()\n"
        "print(sorted({'torch', 'timm', 'open_clip', 'torchvision', 'onnx'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_removed_view_must_exist(write: Write) -> None:
    path = write("distill: {method: tmkd}\n")
    with pytest.raises(UsageError, match=r"distill\.views\.egde: null removes a view, and none is called so"):
        load_recipe(path, ["distill.views.egde=null"])
    assert list(load_recipe(path, ["distill.views.edge=null"]).recipe.distill.views) == ["high_frequency"]


def test_misspelt_torchvision_class_suggests_the_nearest(write: Write) -> None:
    source = write("data: {dataset: 'torchvision:CIFAR', root: x}\n")
    (found,) = mistakes(source)
    assert found.endswith("got 'torchvision:CIFAR'; did you mean torchvision:CIFAR10?")
