"""Any recipe, any unknown key, any text and any value: read as it was written, or refused where it stands."""

import copy
import json
from collections.abc import Callable

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.recipe import load_recipe
from pipeline.recipe.reading.keys import all_paths, known_keys
from pipeline.recipe.schema.recipe import Recipe
from pipeline.yaml_document import dotted, dump_yaml
from tests.pipeline.recipe.reading.conftest import mistakes

Write = Callable[[str], str]
property_based = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


RECIPES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z"),
        "seed": st.integers(0, 2**32 - 1),
        "data": st.fixed_dictionaries(
            {"image_size": st.integers(16, 512)},
            optional={"validation": st.floats(0.01, 0.5), "workers": st.integers(0, 9) | st.just("auto")},
        ),
        "student": st.fixed_dictionaries(
            {
                "arguments": st.dictionaries(
                    st.text("abc_", min_size=1), st.floats(0, 1) | st.text(max_size=5), max_size=3
                )
            }
        ),
        "train": st.fixed_dictionaries(
            {"epochs": st.integers(50, 300), "lr": st.floats(1e-12, 100)},
            optional={
                "schedule": st.lists(st.integers(1, 49), min_size=1, unique=True).map(
                    lambda passes: {"milestones": sorted(passes)}
                )
            },
        ),
        "distill": st.fixed_dictionaries(
            {"method": st.sampled_from(["ce", "kd", "cat_kd", "tmkd"])},
            optional={
                "views": st.dictionaries(
                    st.from_regex(r"\A[a-z0-9_]{1,8}\Z").filter(lambda name: name != "rgb"),
                    st.sampled_from([{"kind": "edge", "strength": 1.5}, {"kind": "high_frequency"}]),
                    max_size=3,
                )
            },
        ),
        "bundle": st.fixed_dictionaries({"licence": st.sampled_from([None, "mit", "LicenseRef-1e5", "MIT OR 0BSD"])}),
    },
)


@property_based
@given(tree=RECIPES)
def test_any_recipe_survives_being_written_and_read(tree: dict[str, object], write: Write) -> None:
    direct = Recipe.model_validate({"name": "recipe", **copy.deepcopy(tree)})
    loaded = load_recipe(write(dump_yaml(tree) if tree else "{}")).recipe
    assert loaded == direct
    assert load_recipe(write(loaded.to_yaml())).recipe.resolved() == loaded.resolved()


SECTIONS = [path for path in [(), *all_paths()] if known_keys(path)]


@property_based
@given(
    section=st.sampled_from(SECTIONS),
    key=st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12),
    value=st.none() | st.integers() | st.text("aZ0 :#", max_size=5) | st.lists(st.integers(), max_size=2),
)
def test_unknown_key_is_always_refused_at_its_line(
    section: tuple[str, ...], key: str, value: object, write: Write
) -> None:
    assume(key not in known_keys(section))
    lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate(section)]
    source = write("\n".join([*lines, f"{'  ' * len(section)}{key}: {json.dumps(value)}"]) + "\n")
    full = dotted((*section, key))
    place = f"recipe.yaml:{len(section) + 1}:{2 * len(section) + 1}: {full}: unknown key"
    assert any(line.startswith(place) for line in mistakes(source))

    override = f"{full}={json.dumps(value)}"
    assert any(
        line.startswith(f"--set {override}: {full}: unknown key") for line in mistakes(write("seed: 1\n"), override)
    )


WORDS = ["data", "train", "views", "edge", "distill", "epochs", "kind", "schedule", "milestones", "scale", "1", "null"]


@settings(property_based, max_examples=200)
@given(text=st.lists(st.sampled_from([*WORDS, ":", ": ", "\n", "  ", "- ", "[", "]", "{", "}", ", "])).map("".join))
def test_any_text_gives_a_recipe_or_a_usage_error(text: str, write: Write) -> None:
    try:
        load_recipe(write(text))
    except UsageError as error:
        assert all(line.startswith("recipe.yaml") for line in error.message.splitlines())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=6,
)


@settings(property_based, max_examples=200)
@given(path=st.sampled_from(all_paths()), value=VALUES)
def test_any_value_is_accepted_or_refused_at_its_line(path: tuple[str, ...], value: object, write: Write) -> None:
    tree: object = value
    for key in reversed(path):
        tree = {key: tree}
    try:
        load_recipe(write(dump_yaml(tree)))
    except UsageError as error:
        for line in error.message.splitlines():
            assert line.startswith("recipe.yaml:")
            assert "@" not in line or "@" in dump_yaml(value)
