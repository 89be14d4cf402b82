"""YAML text as plain values with positions."""

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.yaml_document import LARGEST_DEPTH, Position, dotted, dump_yaml, parse_yaml

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["1e5", "1e-3", "on", "null", "2024-01-01", "<<", "=", "0x1F", "1_000", "12:30", "~", "-.5e+3"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS.filter(lambda key: key != "<<"), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=100)
@given(VALUES)
@example("\x85")
@example({"a": "x\u2028y\r\n\ufeff"})
def test_dumped_values_are_read_back(value: object) -> None:
    document = parse_yaml(dump_yaml(value))
    assert document.mistakes == []
    assert document.value == value
    assert type(document.value) is type(value)


YAML_PIECES = st.sampled_from(
    [*"abc123 \n\t:-[]{},&*!|>'\"%@`#?~=<.e+", "\n  ", ": ", "- ", "<<", "*a", "&a ", "!!int ", "!!binary ", "---\n"]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(YAML_PIECES, max_size=40).map("".join) | st.text(max_size=60))
@example('"\\UFFFFFFFF"')
@example('"\\ud800"')
@example("!!int x")
@example('!!int ""')
@example('!!float ""')
@example("!!bool x")
@example("!!timestamp x")
@example("!!python/object/apply:os.system [ls]")
@example("a: " + "9" * 5000)
@example("a: 0b_")
@example("%YAML 9.9\n---\na: 1")
@example("%YAML " + "9" * 5000 + ".1\n---\na: 1")
@example("a: 1\n---\nb: 2")
@example("a: \x00")
@example("? [a]\n: b")
@example("? {a: b}\n: c")
@example("a: .inf")
@example("a: &a [*a]")
@example("=: =")
@example("*a")
@example("!<tag:yaml.org,2002:null> a: b")
def test_any_text_is_read_or_refused_with_a_place_inside_it(text: str) -> None:
    document = parse_yaml(text)
    lines = len(text.splitlines()) + 1
    for position, message in document.mistakes:
        assert 1 <= position.line <= lines
        assert position.column >= 1
        assert message
    if not document.mistakes:
        dump_yaml(document.value).encode()


def test_parsed_values_agree_with_the_yaml_library() -> None:
    text = "a: {b: [1, 2.5, x], c: null}\nd: yes\ne: 'yes'\nf: 0x10\n"
    assert parse_yaml(text).value == yaml.safe_load(text)


def test_an_exponent_needs_no_point() -> None:
    assert parse_yaml("[1e-3, 2E5, -1.5e+2, 1.e3, .5e1]").value == [0.001, 2e5, -150.0, 1000.0, 5.0]


def test_a_date_stays_text() -> None:
    assert parse_yaml("name: 2024-01-01").value == {"name": "2024-01-01"}


def test_each_key_and_item_has_its_place() -> None:
    document = parse_yaml("train:\n  epochs: 3\n  schedule: {milestones: [1, 2]}\n")
    assert document.positions == {
        ("train",): Position(1, 1),
        ("train", "epochs"): Position(2, 3),
        ("train", "schedule"): Position(3, 3),
        ("train", "schedule", "milestones"): Position(3, 14),
        ("train", "schedule", "milestones", 0): Position(3, 27),
        ("train", "schedule", "milestones", 1): Position(3, 30),
    }


def test_duplicate_keys_are_reported_and_the_first_counts() -> None:
    document = parse_yaml("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert document.mistakes == [
        (Position(4, 3), "b.c: given twice, first in line 3"),
        (Position(5, 1), "a: given twice, first in line 1"),
    ]
    assert document.value == {"a": 1, "b": {"c": 1}}


def test_a_syntax_error_has_line_and_column() -> None:
    ((position, message),) = parse_yaml("data:\n  root: a: b\n").mistakes
    assert position == Position(2, 10)
    assert message == "not valid YAML: mapping values are not allowed here"


def test_an_unprintable_character_has_line_and_column() -> None:
    ((position, message),) = parse_yaml("a: 1\nb: x\x07").mistakes
    assert position == Position(2, 5)
    assert "special characters" in message


def test_aliases_work_but_cannot_explode() -> None:
    assert parse_yaml("a: &s {x: 1}\nb: *s\n").value == {"a": {"x": 1}, "b": {"x": 1}}
    levels = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    ((_, message),) = parse_yaml("\n".join(levels)).mistakes
    assert message == "more than 10,000 values, aliases written out"


def test_depth_and_length_are_bounded() -> None:
    for text in ("[" * 50_000, "[" * (LARGEST_DEPTH + 2) + "]" * (LARGEST_DEPTH + 2), "a: &a {b: *a}"):
        assert parse_yaml(text).mistakes[0][1] == f"more than {LARGEST_DEPTH} levels deep"
    assert parse_yaml("# " * 500_001).mistakes[0][1] == "longer than 1,000,000 characters"


def test_merge_keys_and_tags_are_refused_at_their_line() -> None:
    document = parse_yaml("a: &s {x: 1}\nb:\n  <<: *s\nc: !!set {}\n")
    assert [position.line for position, _ in document.mistakes] == [3, 4]
    assert "merge keys" in document.mistakes[0][1]
    assert "!!set" in document.mistakes[1][1]


def test_paths_are_written_with_dots() -> None:
    assert dotted(("train", "schedule", "milestones", 0)) == "train.schedule.milestones[0]"


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        (
            "010",
            "010 is read as 8, since a leading 0 makes it octal; write 10, or 8 if you mean that",
        ),
        ("-064", "-064 is read as -52, since a leading 0 makes it octal; write -64,"),
        ("0_7", "0_7 is read as 7"),
        (
            "1:30",
            "1:30 is read as 90, since parts with colons are read to the base of 60; write 90, or '1:30'",
        ),
        ("190:20:30", "190:20:30 is read as 685230"),
        ("1:30.5", "1:30.5 is read as 90.5"),
        ("1_000", "1_000 is read as 1000, since other readers of YAML take it for a text; write 1000"),
        ("1_0.5", "1_0.5 is read as 10.5"),
        ("0b101", "0b101 is read as 5, since 0b makes it binary; write 5"),
    ],
)
def test_a_number_that_means_something_else_is_refused_in_its_line(spelling: str, expected: str) -> None:
    document = parse_yaml(f"a: 1\nb:\n  c: {spelling}\n")
    ((position, message),) = document.mistakes
    assert position == Position(3, 6)
    assert message.startswith(f"b.c: {expected}")
    assert document.value == {"a": 1, "b": {}}
    assert parse_yaml(f"[{spelling}]").mistakes and not parse_yaml(f"['{spelling}']").mistakes


@settings(deadline=None, max_examples=300)
@given(st.text("0123456789_:.+-eEbxof", min_size=1, max_size=8))
@example("07")
@example("0")
@example("0x1F")
@example(".5e3")
@example("1.")
@example("+5")
@example("08.5")
def test_numbers_are_decimal_or_refused(text: str) -> None:
    """Python reads decimal numbers as people do, except that it also allows underscores."""
    document = parse_yaml(f"a: {text}")
    value = (document.value or {}).get("a") if isinstance(document.value, dict) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert "_" not in text
        assert value == (int(text, 16) if "x" in text else float(text))


def test_how_values_are_spelled_is_kept() -> None:
    document = parse_yaml("a: yes\nb: 'yes'\nc: [0x10, text]\nd: ~\n")
    assert document.spellings == {("a",): "yes", ("c", 0): "0x10", ("d",): "~"}


@pytest.mark.parametrize(
    ("text", "at", "opened"),
    [
        ("data: {root: photos\nstudent: {model: a}\n", Position(2, 8), "{ of line 1"),
        ("a: 1\nb: [1, 2\nc: 3\nd: 4\n", Position(3, 2), "[ of line 2"),
        ('a: "x\nb: 1\n', Position(3, 1), '" of line 1'),
    ],
)
def test_unclosed_bracket_is_named_with_its_line(text: str, at: Position, opened: str) -> None:
    ((position, message),) = parse_yaml(text).mistakes
    assert position == at and message.endswith(f"; the {opened} is not closed before it")
