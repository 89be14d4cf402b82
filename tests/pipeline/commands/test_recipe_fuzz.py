"""Recipes and `--set`s that nobody would write: `check` and `plan` end with 0, 2, 3 or 4, soon, and print nothing that
steers a terminal.

`make fuzz` draws 20,000 of them, the default suite a few of each kind, always the same.
"""

import os
import resource
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters.core.visible import LONGEST_LINE, MOST_LINES
from pipeline.catalog import configs_directory
from pipeline.preflight.without_run import Foreseen
from pipeline.yaml_document import dump_yaml
from tests.docs.test_recipe_reference import LEAVES
from tests.pipeline.conftest import Outcome, run_command

IS_FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
SECONDS = 5.0
"""Of one core, at most, for a command."""
MEGABYTES = 300
"""By which the process may grow in a command; over thousands of examples Hypothesis itself grows by more."""


def many(whole: int, few: int) -> Any:
    """So many examples in `make fuzz`, and few in the default suite."""
    return settings(
        max_examples=whole if IS_FUZZING else few,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def peak_megabytes() -> float:
    """The most memory that this process has had, megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def is_steering(character: str) -> bool:
    category = unicodedata.category(character)
    bidirectional = unicodedata.bidirectional(character) in (
        "RLO",
        "LRO",
        "RLE",
        "LRE",
        "PDF",
        "RLI",
        "LRI",
        "FSI",
        "PDI",
    )
    return (category == "Cc" and character not in "\n\t") or bidirectional


def assert_ends_well(*arguments: str) -> Outcome:
    """Run a command; it ends with a code of the contract, within bounds, and shows nothing but text."""
    began, memory = time.thread_time(), peak_megabytes()
    outcome = run_command(*arguments)
    spent = time.thread_time() - began
    printed = outcome.out + outcome.err
    assert outcome.code in (0, 2, 3, 4), printed[:2000]
    assert "Traceback" not in printed and "internal error" not in printed
    assert outcome.code == 0 or outcome.err.strip(), "no message"
    assert not any(map(is_steering, printed)), repr(printed[:2000])
    assert spent < SECONDS, f"{spent:.1f} s"
    assert (grown := peak_megabytes() - memory) < MEGABYTES, f"{grown:.0f} MB"
    assert len(outcome.err) <= (MOST_LINES + 3) * (LONGEST_LINE + 2)
    return outcome


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, where `check` builds no networks: their cost is not that of reading a text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.preflight.without_run.foresee", lambda *_: Foreseen((), (), (), ()))
    return tmp_path


DIGITS = "9" * 5000
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
NASTY = st.sampled_from(
    [
        *(DIGITS, f"-{DIGITS}", f"0x{'f' * 5000}", f"1e{'9' * 400}", f"0.{DIGITS}", ".nan", "-.inf", "1:30", "010"),
        *("\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\x00", "\r", "\x7f", "\u202e", "\u2066", "\u2028", "\ufeff"),
        *(
            "\ud800",
            "é",
            "鳥",
            "🐦",
            "\U0010ffff",
            "\t",
            "\n",
            " #",
            "'",
            '"',
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            ": ",
        ),
        *("- ", "? ", "|", ">", "&a ", "*a", "!!python/object:os.system ", "!!binary ", "!x ", "<<: *a", "%TAG ! x"),
        *("---\n", "...\n", "[" * 300, "{a: " * 300, "- " * 300, "null", "~", "true", "no", "on", "=", "x" * 3000),
        *("../" * 50, "~nobody/x", "/dev/zero", "/proc/self/mem", "CON", "\\\\server\\share", "file:///etc/passwd"),
        *("a" * 300 + ".pth", "base/cub"),
    ]
)
TEXT = st.lists(NASTY | st.text(max_size=8), max_size=4).map("".join)
KEYS = st.sampled_from(sorted(LEAVES))


def right(node: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a key takes, as far as its schema says at once."""
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if "anyOf" in node:
        return st.one_of([right(choice) for choice in node["anyOf"]])
    if node.get("type") == "integer":
        low = node.get("minimum", 0)
        return st.integers(low, min(node.get("maximum", low + 100), low + 10_000))
    if node.get("type") == "number":
        return st.sampled_from([node.get("minimum", 0.25), 0.5, 1.0, 2, 10.0])
    return {"boolean": st.booleans(), "null": st.none(), "string": TEXT}.get(str(node.get("type")), TEXT)


WRONG = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT | st.just("@digits@"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def recipes(draw: st.DrawFn) -> str:
    """A recipe of keys of the schema, most of them with values that they take."""
    tree: dict[str, Any] = {}
    for key in draw(st.lists(KEYS, max_size=8)):
        *sections, last = key.split(".")
        node = tree
        for section in sections:
            inner = node.setdefault(section, {})
            node = inner if isinstance(inner, dict) else node
        node[draw(st.just(last) | TEXT)] = draw(st.one_of(right(LEAVES[key]), right(LEAVES[key]), WRONG))
    try:
        text = dump_yaml(tree)
    except (UnicodeError, ValueError):  # half a character
        text = repr(tree)
    return text.replace("'@digits@'", DIGITS).replace("@digits@", DIGITS)


SHIPPED = sorted(configs_directory().glob("**/*.yaml"))


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The text of a recipe that ships, or of a bomb, with pieces cut out, doubled and put in."""
    text = draw(st.sampled_from(SHIPPED).map(lambda path: path.read_text("utf-8")) | st.just(BOMB))
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        piece = draw(NASTY | st.just("") | st.just(text[start:end]) | st.just(BOMB) | st.text(max_size=10))
        text = text[:start] + piece + text[draw(st.sampled_from([start, end, min(start + 5, len(text))])) :]
    return text


OVERRIDES = st.tuples(KEYS | TEXT, st.sampled_from(["=", " = ", "==", ""]), TEXT | WRONG.map(repr)).map("".join)


def write(text: str) -> str:
    Path("recipe.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    return "recipe.yaml"


@pytest.mark.timeout(3600 if IS_FUZZING else 300)
@many(7000, 60)
@given(text=recipes(), command=st.sampled_from(["check", "plan"]))
def test_any_recipe_of_the_schemas_keys_ends_well(text: str, command: str, folder: Path) -> None:
    assert_ends_well(command, write(text))


@pytest.mark.timeout(3600 if IS_FUZZING else 300)
@many(6000, 40)
@given(text=damaged(), command=st.sampled_from(["check", "plan"]))
def test_any_damaged_text_ends_well(text: str, command: str, folder: Path) -> None:
    assert_ends_well(command, write(text))


@pytest.mark.timeout(3600 if IS_FUZZING else 300)
@many(7000, 60)
@given(overrides=st.lists(OVERRIDES, min_size=1, max_size=3), command=st.sampled_from(["check", "plan"]))
def test_any_override_ends_well(overrides: list[str], command: str, folder: Path) -> None:
    # As the shell gives them: no null character, bytes that are no UTF-8 as halves of pairs.
    typed = [part for text in overrides for part in ("--set", text.replace("\0", ""))]
    assert_ends_well(command, write("name: odd\n"), *typed)


@pytest.mark.parametrize(
    "text",
    [
        f"train: {{epochs: {DIGITS}}}",
        f"train: {{lr: {DIGITS}}}",
        f"teacher: {{visual: {{arguments: {{x: {DIGITS}}}}}}}",
        f"teacher: {{visual: {{arguments: {{x: 0x{'f' * 5000}}}}}}}",
        f"train: {{epochs: 0x{'f' * 5000}}}",
        f"train: {{epochs: '{DIGITS}'}}",
        f"{DIGITS}: 1",
        BOMB,
        "extends: &a [*a]",
        "a: &a {b: *a}",
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "? " * 10_000,
        "name: \x1b[31m",
        'name: "\\e[31m"',
        'data: {root: "\\e]0;title\\a"}',
        '"\\e[31m": 1',
        "name: a\x00b",
        "\ud800: 1",
        "x: 1\n" * 200_000,
        "\n".join(f"key{number}: 1" for number in range(9_000)),
        "extends: /dev/zero.yaml",
        "x" * 2_000_000,
    ],
    ids=range(24),
)
def test_attack_by_a_file_is_one_bounded_message(text: str, folder: Path) -> None:
    assert assert_ends_well("check", write(text)).code == 2


@pytest.mark.parametrize(
    "text",
    [
        f"train.epochs={DIGITS}",
        f"seed=-{DIGITS}",
        f"seed=0x{'f' * 5000}",
        'lock.packages={"": x}',
        f"train.lr=1e{'9' * 400}",
        f"train.schedule.milestones=[{'1,' * 20_000}1]",
        f"{'a.' * 2000}b=1",
        f"name={'a' * 100_000}",
        f"train.epochs={'[' * 5000}",
        "name=\x1b]0;title\x07",
        "\x1b[31m=1",
        "train=\x1b",
        "data.labels=\x9b31m",
        "data.root=\u202egpj.exe",
        "extends=base/cub",
        "=",
    ],
    ids=range(16),
)
def test_attack_by_an_override_is_one_bounded_message(text: str, folder: Path) -> None:
    assert assert_ends_well("plan", write("name: odd\n"), "--set", text).code == 2


def test_file_name_that_steers_a_terminal_is_written_out(folder: Path) -> None:
    Path("\x1b[31m.yaml").write_text("trian: {}")
    outcome = assert_ends_well("check", "\x1b[31m.yaml")
    assert outcome.code == 2 and r"\u001b[31m.yaml" in outcome.err
    assert assert_ends_well("check", "\x1b[2Jgone.yaml").code == 2
    assert assert_ends_well("check", "quickstart", "--\x1b[31m").code == 2
