"""One tree of values over another."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.recipe.reading.merging import merge, value_at
from pipeline.yaml_document import dump_yaml, parse_yaml

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
    merge(below, above)
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


def test_text_in_the_place_of_a_section_is_its_preset() -> None:
    tree: dict[str, Any] = {"train": "scratch"}
    merge(tree, {"train": {"epochs": 3}})
    assert tree == {"train": {"preset": "scratch", "epochs": 3}}
    merge(tree, {"train": "finetune"})
    assert tree == {"train": {"preset": "finetune", "epochs": 3}}


def test_nothing_stands_below_a_value() -> None:
    assert value_at({"a": {"b": 3}}, ("a", "b")) == 3
    assert value_at({"a": {"b": 3}}, ("a", "b", "c")) is None
    assert value_at([], ("a",)) is None
