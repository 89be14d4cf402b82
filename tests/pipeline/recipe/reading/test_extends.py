"""`extends`: what comes from which file, and what is refused."""

from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from pipeline.catalog import find_recipe, fragment_names, recipe_names
from pipeline.recipe import load_recipe
from pipeline.recipe.reading.extends import LARGEST_CHAIN, read_merged
from pipeline.yaml_document import dump_yaml
from tests.pipeline.recipe.reading.conftest import Write


def mistakes(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load_recipe(path, overrides)
    assert caught.value.exit_code == 2
    return caught.value.message.splitlines()


def test_sections_are_merged_and_lists_replaced(files: Write) -> None:
    path = files(
        one="extends: two.yaml\ntrain: {lr: 0.5, schedule: {milestones: [7]}}\ndistill: {views: {edge: null}}\n",
        two="train: {epochs: 9, lr: 0.1, schedule: {milestones: [3, 5], gamma: 0.3}}\nseed: 4\n"
        "distill: {views: {edge: {strength: 1.0}, high_frequency: {}}}\n",
    )
    recipe = load_recipe(path).recipe
    assert (recipe.seed, recipe.train.epochs, recipe.train.lr) == (4, 9, 0.5)
    assert (recipe.train.schedule.milestones, recipe.train.schedule.gamma) == ((7,), 0.3)
    assert list(recipe.distill.views) == ["high_frequency"]


def test_later_fragments_go_before_and_the_file_before_all(files: Write) -> None:
    path = files(
        one="extends: [two.yaml, three.yaml]\nseed: 1\n",
        two="extends: four.yaml\nseed: 2\ntrain: {epochs: 2, lr: 0.2}\n",
        three="seed: 3\ntrain: {epochs: 3}\n",
        four="train: {epochs: 4, lr: 0.4, momentum: 0.4}\n",
    )
    recipe = load_recipe(path, ["train.momentum=0.1"]).recipe
    assert (recipe.seed, recipe.train.epochs, recipe.train.lr, recipe.train.momentum) == (1, 3, 0.2, 0.1)
    assert load_recipe(path).recipe.train.momentum == 0.4


def test_a_name_is_not_inherited(files: Write) -> None:
    assert load_recipe(files(one="extends: two.yaml\n", two="name: other\nseed: 2\n")).recipe.name == "one"


def test_shipped_fragment_is_found_by_name(files: Write) -> None:
    recipe = load_recipe(files(one="extends: base/steps_240\n")).recipe
    assert (recipe.train.epochs, recipe.train.schedule.milestones) == (240, (150, 180, 210))


def test_mistakes_name_the_file_that_decides(files: Write) -> None:
    path = files(
        one="extends: two.yaml\ntrain:\n  lr: fast\n",
        two="train:\n  lr: 0.1\n  epochs: 0\n  momentun: 1\ndata: {resize: 16}\n",
    )
    assert mistakes(path) == [
        "own/one.yaml:3:3: train.lr: expected a number > 0 and ≤ 100, got 'fast'",
        "own/two.yaml:3:3: train.epochs: expected an integer ≥ 1 and ≤ 100000, got 0",
        "own/two.yaml:4:3: train.momentun: unknown key; did you mean train.momentum?",
        "own/two.yaml:5:8: data.resize: expected at least data.image_size (224), got 16",
    ]


def test_mistakes_in_a_fragment_name_its_lines(files: Write) -> None:
    assert mistakes(files(one="extends: two.yaml\nseed: x\n", two="epochs: 1\nepochs: 2\n")) == [
        "own/one.yaml:2:1: seed: expected an integer ≥ 0 and < 4294967296, got 'x'",
        "own/two.yaml:1:1: epochs: unknown key; did you mean train.epochs?",
        "own/two.yaml:2:1: epochs: given twice, first in line 1",
    ]
    assert mistakes(files(one="extends: two.yaml\n", two="- a\n")) == [
        "own/two.yaml:1:1: expected keys such as data: and train:, got a list"
    ]


def test_missing_fragment_suppresses_only_mistakes_that_follow_from_it(files: Write) -> None:
    lines = mistakes(files(one="extends: two.yaml\ndata: {dataset: cub200}\ntrain: {epoch: 3}\n"))
    assert lines == [
        "own/one.yaml:1:1: extends: no such file: own/two.yaml (paths are relative to the file that names them)",
        "own/one.yaml:3:9: train.epoch: unknown key; did you mean train.epochs?",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("base/steps_24", "did you mean base/steps_240?"),
        ("quickstart", "neither a fragment that ships nor a .yaml file"),
        ("base/../recipes/quickstart", "neither a fragment"),
        ("3", "expected a name such as base/cub"),
        ("null", "expected a name such as base/cub"),
        ("[base/tmkd, 3]", "expected a name such as base/cub"),
        ("{a: b}", "expected a name such as base/cub"),
        ("one.yaml", "extends itself: one.yaml → one.yaml"),
        ("../own/one.yaml", "extends itself"),
        ("[base/tmkd, base/tmkd]", "is already extended in own/one.yaml:1:"),
        ("[two.yaml, base/tmkd]", "base/tmkd is already extended in own/two.yaml:1:1; name it once"),
        ("..yaml", "no such file"),
        (f"{'a' * 5000}.yaml", "cannot be a file"),
        ('"a\\0.yaml"', "no such file"),
    ],
)
def test_invalid_fragments_are_refused(given: str, expected: str, files: Write) -> None:
    (line, *_) = mistakes(files(one=f"extends: {given}\n", two="extends: base/tmkd\n"))
    assert line.startswith("own/one.yaml:1:") and "extends: " in line and expected in line


def test_cycles_are_reported_with_their_path(files: Write) -> None:
    path = files(one="extends: two.yaml\n", two="extends: three.yaml\nseed: 1\n", three="extends: two.yaml\nseed: 1\n")
    (line,) = mistakes(path)
    assert line == ("own/three.yaml:1:1: extends: two.yaml extends itself: one.yaml → two.yaml → three.yaml → two.yaml")


def test_link_counts_as_its_target(files: Write) -> None:
    path = files(one="extends: [two.yaml, link.yaml]\n", two="seed: 1\n")
    path.with_name("link.yaml").symlink_to("two.yaml")
    assert "is already extended" in mistakes(path)[0]


def test_chain_of_fragments_is_limited(files: Write) -> None:
    texts = {f"f{i}": f"extends: f{i + 1}.yaml\nseed: {i}\n" for i in range(LARGEST_CHAIN)}
    assert load_recipe(files(**texts, **{f"f{LARGEST_CHAIN}": "seed: 9\n"})).recipe.seed == 0
    texts |= {f"f{LARGEST_CHAIN}": f"extends: f{LARGEST_CHAIN + 1}.yaml\n", f"f{LARGEST_CHAIN + 1}": "seed: 9\n"}
    (line,) = mistakes(files(**texts))
    assert f"more than {LARGEST_CHAIN} levels of fragments" in line


def test_extends_cannot_be_set_on_the_command_line(files: Write) -> None:
    (line,) = mistakes(files(one="seed: 1\n"), "extends=base/tmkd")
    assert line == "--set extends=base/tmkd: extends belongs in the file: it is read before any --set"


def test_unreadable_fragment_is_refused(files: Write) -> None:
    path = files(one="extends: two.yaml\n")
    path.with_name("two.yaml").write_bytes(b"seed: \xff\n")
    (line,) = mistakes(path)
    assert line == "own/one.yaml:1:1: extends: own/two.yaml: not UTF-8 text: byte 6 cannot be read"


def test_every_shipped_fragment_is_used() -> None:
    used = {path.stem for name in recipe_names() for path, _ in read_merged(find_recipe(name)).files[1:]}
    assert used == set(fragment_names())


@pytest.mark.parametrize("section", ["train", "teacher.visual.fit"])
def test_preset_by_name_keeps_the_keys_of_the_fragment_as_set_does(files: Write, section: str) -> None:
    def nested(value: object) -> str:
        for key in reversed(section.split(".")):
            value = {key: value}
        return dump_yaml(value)

    below = nested({"epochs": 7, "optimizer": "sgd", "lr": 0.3})
    path = files(one="extends: two.yaml\n" + nested("finetune"), two=below)
    extended = load_recipe(path)
    by_set = load_recipe(files(one="extends: two.yaml\n", two=below), [f"{section}=finetune"])
    assert extended.recipe == by_set.recipe
    found = extended.recipe.train if section == "train" else extended.recipe.teacher.visual.fit
    assert (found.preset, found.epochs, found.optimizer, found.lr) == ("finetune", 7, "sgd", 0.3)
    assert extended.origin(f"{section}.preset").shown.startswith("own/one.yaml:")
    assert "two.yaml" in extended.origin(f"{section}.lr").shown


def test_keys_over_a_preset_of_the_fragment_keep_the_preset(files: Write) -> None:
    path = files(one="extends: two.yaml\ntrain: {epochs: 3}\n", two="train: finetune\n")
    found = load_recipe(path)
    assert (found.recipe.train.preset, found.recipe.train.epochs) == ("finetune", 3)
    assert "two.yaml" in found.origin("train.preset").shown
    path = files(one="extends: two.yaml\ntrain: scratch\n", two="train: finetune\n")
    assert load_recipe(path).recipe.train.preset == "scratch"
    path = files(one="extends: two.yaml\ntrain: {epochs: 3}\n", two="train: finetun\n")
    assert "two.yaml:1:1: train.preset: " in mistakes(path)[0]
