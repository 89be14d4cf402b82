from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.catalog import find_recipe, recipe_names
from pipeline.recipe.reading.extends import read_merged
from pipeline.recipe.reading.flatten import flat_text
from pipeline.yaml_document import dump_yaml, parse_yaml
from tests.pipeline.recipe.reading.conftest import Write

TEXT_TREES = st.dictionaries(
    st.sampled_from(["a", "b", "c #", "d: e"]),
    st.recursive(
        st.sampled_from([1, 1.5, True, None, "x # y", "#", "a\n\n# b\n", "'", "é: ]", "  "]) | st.text(max_size=6),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
        max_leaves=6,
    ),
    max_size=4,
)


def test_flattened_recipe_equals_the_original() -> None:
    for name in recipe_names():
        path = find_recipe(name)
        text = flat_text(path)
        assert parse_yaml(text).value == read_merged(path).value
        assert "extends" not in (parse_yaml(text).value or {})
        assert text.splitlines()[0] == path.read_text().splitlines()[0]


def test_comments_stay_with_the_keys_of_the_file_that_decides(files: Write) -> None:
    path = files(
        one="# first\n#\n# second # third\n\n# above name\nname: one   # named\nextends: two.yaml\ntrain:\n"
        "  # above the rate\n  lr: 0.5  # half\n  epochs: 7\nbundle: {licence: 'a # b'}\n",
        two="# a fragment\ntrain:\n  lr: 0.1  # a tenth\n  epochs: 3  # few\n  batch_size: 8 # small\nseed: 4 # four\n",
    )
    assert flat_text(path) == (
        "# first\n#\n# second # third\n\n# above name\n\nname: one  # named\nseed: 4  # four\n\n"
        "# above the rate\n# small\ntrain: {lr: 0.5, epochs: 7, batch_size: 8}  # half\n\n"
        "bundle: {licence: 'a # b'}\n"
    )


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(own=TEXT_TREES, below=TEXT_TREES, compact=st.booleans())
def test_any_values_survive_with_their_comments(
    files: Write, own: dict[str, Any], below: dict[str, Any], compact: bool
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


def test_a_recipe_that_extends_nothing_is_given_as_it_is(files: Write) -> None:
    text = "seed:   1 # one\r\n\n\ntrain:   {}\n"
    path = files(one="")
    path.write_bytes(text.encode())
    assert flat_text(path) == text


def test_invalid_yaml_is_refused(files: Write) -> None:
    with pytest.raises(UsageError, match=r"own/one.yaml:1:8: not valid YAML"):
        flat_text(files(one="seed: 1: 2\n"))
