"""Labels in text and in CSV."""

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from exporters.labels import read_labels

# What can stand on a line of its own, without blanks around it, and is the same when Unicode is normalised.
LINES = (
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=9)
    .map(lambda text: " ".join(text.split()))
    .filter(lambda text: text and text.isprintable())
)
NAMES = st.lists(LINES, min_size=2, max_size=9, unique=True)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@settings(deadline=None, max_examples=25)
@given(names=NAMES, ending=st.sampled_from(["\n", "\r\n", "\r"]), last=st.booleans())
def test_text_has_one_label_a_line(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], ending: str, last: bool
) -> None:
    assume(names[0][0] not in "[{" and not all(name.startswith("- ") for name in names))
    assume(not names[0][0].isdigit())
    path = write(tmp_path_factory.mktemp("labels") / "labels.txt", ending.join(names) + (ending if last else ""))
    assert read_labels(path) == names


def test_quotes_hold_separators(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '0,"tench, Tinca tinca"\n1,"a ""big"" fish"\n')
    assert read_labels(path) == ["tench, Tinca tinca", 'a "big" fish']


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", "one\n", "fewer than two"),
        ("a.txt", "one\n\ntwo\n", "line 2: a label is missing"),
        ("a.txt", "one\ntwo\none\n", "the label 'one' stands on lines 1 and 3"),
        ("a.txt", "caf\u00e9\ncafe\u0301\n", "stands on lines 1 and 2"),
        ("a.txt", "- cat\n- dog\n", "look like YAML: call it .yaml"),
        ("a.txt", "0,cat\n1,dog\n", "numbered.*call it .csv"),
        ("a.txt", "1 cat\n2 dog\n", "numbered"),
        ("a.txt", '["cat", "dog"]\n', "JSON: call it .json"),
        ("a.csv", "0,cat\n1,dog\n2,cat\n", "'cat' stands on lines 1 and 3"),
        ("a.csv", "0,cat\n0,dog\n", "'0' stands on lines 1 and 2"),
        ("a.csv", "0,cat\n1,\n", "line 2: a label is missing"),
        ("a.csv", "0,cat\n1,dog,hound\n", "line 2: has 3 fields"),
        ("a.csv", "1,cat\n2,dog\n", "begin at 1"),
        ("a.csv", "a,b,c\nd,e,f\n", "has 3 columns"),
        ("a.csv", '0,"cat\n', "is not CSV"),
        ("a.csv", "", "is empty"),
    ],
)
def test_mistakes_are_reported_with_the_file(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        read_labels(write(tmp_path / name, text))
    assert str(tmp_path / name) in caught.value.message and caught.value.remedy
