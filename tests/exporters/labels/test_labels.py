"""Files of labels, by their kind."""

import csv
import io
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exporters.core.errors import TmkdError, UnavailableError, UsageError
from exporters.labels import read_labels

# What can stand on a line of its own, without blanks around it, and is the same when Unicode is normalised.
LINES = (
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=9)
    .map(lambda text: " ".join(text.split()))
    .filter(lambda text: text and text.isprintable())
)
NAMES = st.lists(LINES, min_size=2, max_size=9, unique=True)


def in_csv(rows: list[list[str]], delimiter: str = ",") -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
    return buffer.getvalue()


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


FORMS = {
    "list.json": lambda rows: json.dumps([name for _, name in sorted(rows)]),
    "by index.json": lambda rows: json.dumps({str(index): name for index, name in rows}),
    "by label.json": lambda rows: json.dumps({name: index for index, name in rows}, indent=1),
    "with codes.json": lambda rows: json.dumps({str(index): [f"n{index:08}", name] for index, name in rows}),
    "config.json": lambda rows: json.dumps({"id2label": {str(i): name for i, name in rows}, "num_labels": len(rows)}),
    "list.yaml": lambda rows: yaml.safe_dump([name for _, name in sorted(rows)], allow_unicode=True),
    "by index.yml": lambda rows: yaml.safe_dump(dict(rows), allow_unicode=True),
    "by label.yaml": lambda rows: yaml.safe_dump({name: index for index, name in rows}, allow_unicode=True),
    "data.yaml": lambda rows: yaml.safe_dump({"nc": len(rows), "names": dict(rows)}, allow_unicode=True),
    "column.csv": lambda rows: in_csv([["label"], *([name] for _, name in sorted(rows))]),
    "table.csv": lambda rows: in_csv([["index", "label"], *([str(index), name] for index, name in rows)]),
    "turned.csv": lambda rows: in_csv([["name", "id"], *([name, str(index)] for index, name in rows)]),
    "semicolons.csv": lambda rows: in_csv([["index", "label"], *([str(i), name] for i, name in rows)], ";"),
    "pandas.tsv": lambda rows: in_csv([["", "class"], *([str(i), name] for i, name in rows)], "\t"),
    "wide.csv": lambda rows: in_csv([["index", "wnid", "words"], *([str(i), f"n{i}", name] for i, name in rows)]),
}


@settings(deadline=None, max_examples=25)
@given(names=NAMES, form=st.sampled_from(sorted(FORMS)), random=st.randoms(use_true_random=False))
def test_labels_survive_every_kind_of_file(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], form: str, random: object
) -> None:
    rows = list(enumerate(names))
    random.shuffle(rows)  # type: ignore[attr-defined]
    if "by label" in form:
        assume(not all(name.isdecimal() for name in names))  # either side might be the index
    path = write(tmp_path_factory.mktemp("labels") / form, FORMS[form](rows))
    assert read_labels(path) == names


@settings(deadline=None, max_examples=25)
@given(names=NAMES, ending=st.sampled_from(["\n", "\r\n", "\r"]), last=st.booleans())
def test_text_has_one_label_a_line(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], ending: str, last: bool
) -> None:
    assume(names[0][0] not in "[{" and not all(name.startswith("- ") for name in names))
    assume(not names[0][0].isdigit())
    path = write(tmp_path_factory.mktemp("labels") / "labels.txt", ending.join(names) + (ending if last else ""))
    assert read_labels(path) == names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "0,cat\n1,dog\n2,ox\n"),
        ("a.csv", "cat,0\ndog,1\nox,2\n"),
        ("a.csv", "idx;what it is\n0;cat\n1;dog\n2;ox\n"),
        ("a.csv", "\ufeffcat\r\ndog\r\n\r\nox\r\n"),
        ("a.yaml", "- cat\n- dog\n- ox\n"),
        ("a.yaml", "0: cat\n1: dog\n2: ox\n"),
        ("a.yaml", "path: photos\nnames: [cat, dog, ox]\nnc: 3\n"),
        ("a.JSON", '{"cat": 0, "ox": 2, "dog": 1}'),
        ("synset", "cat\ndog\nox\n"),
        ("obj.names", "cat\ndog\nox\n\n\n"),
    ],
)
def test_files_as_people_have_them(tmp_path: Path, name: str, text: str) -> None:
    assert read_labels(write(tmp_path / name, text)) == ["cat", "dog", "ox"]


def test_yaml_labels_are_the_texts_that_stand_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "- no\n- 010\n- 1.0\n- 2024-01-01\n")
    assert read_labels(path) == ["no", "010", "1.0", "2024-01-01"]


def test_quotes_hold_separators(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '0,"tench, Tinca tinca"\n1,"a ""big"" fish"\n')
    assert read_labels(path) == ["tench, Tinca tinca", 'a "big" fish']


def test_classes_of_one_name_are_told_apart_by_their_codes(tmp_path: Path) -> None:
    """ImageNet has two classes called crane, and its class_index.json both."""
    rows = {"0": ["n02012849", "crane"], "1": ["n01440764", "tench"], "2": ["n03126707", "crane"]}
    path = write(tmp_path / "imagenet_class_index.json", json.dumps(rows))
    assert read_labels(path) == ["crane (n02012849)", "tench", "crane (n03126707)"]


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
        ("a.json", '["cat",\n "dog",\n "cat"]', "'cat' stands on lines 1 and 3"),
        ("a.json", '["cat", "cat"]', "'cat' stands twice on line 1"),
        ("a.json", '{"cat": 0,\n "cat": 1}', "the key 'cat' stands on lines 1 and 2"),
        ("a.json", '{"0": "a", "2": "b"}', "0 to 1"),
        ("a.json", '{"1": "a", "2": "b"}', "begin at 1"),
        ("a.json", '{"a": 0, "b": 0}', "0 to 1"),
        ("a.json", '"a"', "neither a list"),
        ("a.json", "[1, 2]", "bad label number 1: 1"),
        ("a.json", '{"0": ["a", "b", "c"], "1": "d"}', "bad label of '0'"),
        ("a.json", '["a", "\\ud800"]', "bad label"),
        ("a.json", '["a", "b\\nc"]', "bad label"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", "[" * 100_000, "not valid JSON"),
        ("a.yaml", "- cat\n- dog\n- cat\n", "'cat' stands on lines 1 and 3"),
        ("a.yaml", "0: cat\n0: dog\n", "line 2: 0: stands on line 1 already"),
        ("a.yaml", "0: 1\n1: 0\n", "either may be the index"),
        ("a.yaml", "- [cat, dog]\n- ox\n", "line 1: 0: expected words"),
        ("a.yaml", "- cat\n-\n", "line 2: 1: expected words"),
        ("a.yaml", "- !!python/object/apply:os.getcwd []\n- cat\n", "line 1: 0: expected words"),
        ("a.yaml", "cat", "expected a mapping, or a list"),
        ("a.yaml", "[" * 20_000, "not valid YAML"),
        ("a.yaml", '- "\\UFFFFFFFF"\n', "not valid YAML"),
        ("a.csv", "0,cat\n1,dog\n2,cat\n", "'cat' stands on lines 1 and 3"),
        ("a.csv", "0,cat\n0,dog\n", "'0' stands on lines 1 and 2"),
        ("a.csv", "0,cat\n1,\n", "line 2: a label is missing"),
        ("a.csv", "0,cat\n1,dog,hound\n", "line 2: has 3 fields"),
        ("a.csv", "1,cat\n2,dog\n", "begin at 1"),
        ("a.csv", "a,b,c\nd,e,f\n", "has 3 columns"),
        ("a.csv", '0,"cat\n', "is not CSV"),
        ("a.csv", "", "is empty"),
        ("a.md", "cat\ndog\n", "not a file of labels by its name"),
        ("a.xlsx", "cat\ndog\n", "not a file of labels by its name"),
    ],
)
def test_mistakes_are_told_with_file_and_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        read_labels(write(tmp_path / name, text))
    assert str(tmp_path / name) in caught.value.message and caught.value.remedy


@settings(deadline=None, max_examples=60)
@given(
    content=st.binary(max_size=60) | st.text("0123,;:-[]{}\"'\n ab&*!\t").map(str.encode),
    suffix=st.sampled_from([".txt", ".json", ".yaml", ".csv"]),
)
def test_any_content_gives_labels_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("labels") / f"a{suffix}"
    path.write_bytes(content)
    try:
        labels = read_labels(path)
    except TmkdError as error:
        assert path.name in error.message
    else:
        assert len(labels) == len(set(labels)) >= 2


def test_labels_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no such labels file"):
        read_labels(tmp_path / "none.txt")
    with pytest.raises(UnavailableError, match="cannot be read"):
        read_labels(tmp_path)
    path = tmp_path / "a.txt"
    path.write_text("cat\ndog\n", encoding="utf-16")
    with pytest.raises(UnavailableError, match="line 1 is not UTF-8"):
        read_labels(path)
    path.write_bytes(b"cat\n" * 2**23)
    with pytest.raises(UsageError, match="bytes are too many"):
        read_labels(path)
