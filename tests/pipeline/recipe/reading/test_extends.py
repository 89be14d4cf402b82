"""`extends`: what comes from which file, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.catalog import find_recipe, fragment_names, recipe_names
from pipeline.recipe import load_recipe
from pipeline.recipe.reading.extends import LARGEST_CHAIN, _merge, read_merged
from pipeline.recipe.reading.flatten import flat_text
from pipeline.yaml_document import dump_yaml, parse_yaml

Write = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files in a folder below the working directory; gives the path of the first."""
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> Path:
        for name, text in texts.items():
            path = tmp_path / "own" / f"{name}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return tmp_path / "own" / f"{next(iter(texts))}.yaml"

    return write


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


def test_a_shipped_fragment(files: Write) -> None:
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


def test_mistakes_of_form_in_a_fragment(files: Write) -> None:
    assert mistakes(files(one="extends: two.yaml\nseed: x\n", two="epochs: 1\nepochs: 2\n")) == [
        "own/one.yaml:2:1: seed: expected an integer ≥ 0 and < 4294967296, got 'x'",
        "own/two.yaml:1:1: epochs: unknown key; did you mean train.epochs?",
        "own/two.yaml:2:1: epochs: given twice, first in line 1",
    ]
    assert mistakes(files(one="extends: two.yaml\n", two="- a\n")) == [
        "own/two.yaml:1:1: expected keys such as data: and train:, got a list"
    ]


def test_a_missing_fragment_hides_what_would_follow_from_it_and_nothing_else(files: Write) -> None:
    told = mistakes(files(one="extends: two.yaml\ndata: {dataset: cub200}\ntrain: {epoch: 3}\n"))
    assert told == [
        "own/one.yaml:1:1: extends: no such file: own/two.yaml (paths are relative to the file that names them)",
        "own/one.yaml:3:9: train.epoch: unknown key; did you mean train.epochs?",
    ]


@pytest.mark.parametrize(
    ("given", "told"),
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
def test_what_cannot_be_extended(given: str, told: str, files: Write) -> None:
    (line, *_) = mistakes(files(one=f"extends: {given}\n", two="extends: base/tmkd\n"))
    assert line.startswith("own/one.yaml:1:") and "extends: " in line and told in line


def test_cycles_are_told_with_their_way(files: Write) -> None:
    path = files(one="extends: two.yaml\n", two="extends: three.yaml\nseed: 1\n", three="extends: two.yaml\nseed: 1\n")
    (line,) = mistakes(path)
    assert line == ("own/three.yaml:1:1: extends: two.yaml extends itself: one.yaml → two.yaml → three.yaml → two.yaml")


def test_a_link_is_the_file_that_it_leads_to(files: Write) -> None:
    path = files(one="extends: [two.yaml, link.yaml]\n", two="seed: 1\n")
    path.with_name("link.yaml").symlink_to("two.yaml")
    assert "is already extended" in mistakes(path)[0]


def test_a_chain_has_an_end(files: Write) -> None:
    texts = {f"f{i}": f"extends: f{i + 1}.yaml\nseed: {i}\n" for i in range(LARGEST_CHAIN)}
    assert load_recipe(files(**texts, **{f"f{LARGEST_CHAIN}": "seed: 9\n"})).recipe.seed == 0
    texts |= {f"f{LARGEST_CHAIN}": f"extends: f{LARGEST_CHAIN + 1}.yaml\n", f"f{LARGEST_CHAIN + 1}": "seed: 9\n"}
    (line,) = mistakes(files(**texts))
    assert f"more than {LARGEST_CHAIN} levels of fragments" in line


def test_it_cannot_be_set(files: Write) -> None:
    (line,) = mistakes(files(one="seed: 1\n"), "extends=base/tmkd")
    assert line == "--set extends=base/tmkd: extends belongs in the file: it is read before any --set"


def test_an_unreadable_fragment(files: Write) -> None:
    path = files(one="extends: two.yaml\n")
    path.with_name("two.yaml").write_bytes(b"seed: \xff\n")
    (line,) = mistakes(path)
    assert line == "own/one.yaml:1:1: extends: own/two.yaml: not UTF-8 text: byte 6 cannot be read"


TREES = st.recursive(
    st.integers() | st.booleans() | st.none() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.sampled_from("abc"), TREES), st.dictionaries(st.sampled_from("abc"), TREES))
def test_merging_keeps_the_leaves_of_the_higher_tree(below: dict[str, Any], above: dict[str, Any]) -> None:
    def look(tree: Any, path: tuple[str, ...]) -> Any:
        for key in path:
            tree = tree[key] if isinstance(tree, dict) and key in tree else "absent"
        return tree

    def leaves(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        if not isinstance(tree, dict) or not tree:
            return [path]
        return [found for key, value in tree.items() for found in leaves(value, (*path, key))]

    original = parse_yaml(dump_yaml(below)).value
    _merge(below, above)
    for path in leaves(above):
        if look(above, path) != {}:
            assert look(below, path) == look(above, path)
    for path in leaves(original):
        decided = any(
            not isinstance(look(above, path[:depth]), dict) and look(above, path[:depth]) != "absent"
            for depth in range(len(path) + 1)
        )
        if not decided and not isinstance(look(above, path), dict):
            assert look(below, path) == look(original, path)


TEXT_TREES = st.dictionaries(
    st.sampled_from(["a", "b", "c #", "d: e"]),
    st.recursive(
        st.sampled_from([1, 1.5, True, None, "x # y", "#", "a\n\n# b\n", "'", "é: ]", "  "]) | st.text(max_size=6),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
        max_leaves=6,
    ),
    max_size=4,
)


class TestFlatText:
    def test_it_says_the_same_without_extends(self, files: Write) -> None:
        for name in recipe_names():
            path = find_recipe(name)
            text = flat_text(path)
            assert parse_yaml(text).value == read_merged(path).value
            assert "extends" not in (parse_yaml(text).value or {})
            assert text.splitlines()[0] == path.read_text().splitlines()[0]

    def test_comments_stay_with_the_keys_of_the_file_that_decides(self, files: Write) -> None:
        path = files(
            one="# first\n#\n# second # third\n\n# above name\nname: one   # named\nextends: two.yaml\ntrain:\n"
            "  # above the rate\n  lr: 0.5  # half\n  epochs: 7\nbundle: {licence: 'a # b'}\n",
            two="# a fragment\ntrain:\n  lr: 0.1  # a tenth\n  epochs: 3  # few\n  batch_size: 8 # small\n"
            "seed: 4 # four\n",
        )
        assert flat_text(path) == (
            "# first\n#\n# second # third\n\n# above name\n\nname: one  # named\nseed: 4  # four\n\n"
            "# above the rate\n# small\ntrain: {lr: 0.5, epochs: 7, batch_size: 8}  # half\n\n"
            "bundle: {licence: 'a # b'}\n"
        )

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(own=TEXT_TREES, below=TEXT_TREES, compact=st.booleans())
    def test_any_values_survive_with_their_comments(
        self, files: Write, own: dict[str, Any], below: dict[str, Any], compact: bool
    ) -> None:
        def commented(tree: dict[str, Any]) -> str:
            lines = dump_yaml(tree, compact=compact).splitlines(keepends=True) if tree else []
            return "".join(
                line.rstrip("\n") + "  # a: note\n" if line.rstrip().endswith((":", "}", "]", "1")) else line
                for line in lines
            )

        texts = {"one": "extends: two.yaml\n" + commented(own), "two": commented(below) or "{}\n"}
        originals = [parse_yaml(texts[name]) for name in ("one", "two")]
        assume(all(isinstance(document.value, dict) and not document.mistakes for document in originals))
        path = files(**texts)
        expected = read_merged(path).value
        assume(expected)
        assert parse_yaml(flat_text(path)).value == expected

    def test_a_recipe_that_extends_nothing_is_given_as_it_is(self, files: Write) -> None:
        text = "seed:   1 # one\r\n\n\ntrain:   {}\n"
        path = files(one="")
        path.write_bytes(text.encode())
        assert flat_text(path) == text

    def test_what_is_no_yaml_is_refused(self, files: Write) -> None:
        with pytest.raises(UsageError, match=r"own/one.yaml:1:8: not valid YAML"):
            flat_text(files(one="seed: 1: 2\n"))


def test_every_shipped_fragment_is_used() -> None:
    used = {path.stem for name in recipe_names() for path, _ in read_merged(find_recipe(name)).files[1:]}
    assert used == set(fragment_names())
