"""Which label belongs to which logit."""

import csv
import io
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

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
def test_common_file_layouts_are_read(tmp_path: Path, name: str, text: str) -> None:
    assert read_labels(write(tmp_path / name, text)) == ["cat", "dog", "ox"]


def test_classes_of_one_name_are_told_apart_by_their_codes(tmp_path: Path) -> None:
    """ImageNet has two classes named crane, and its class_index.json lists both."""
    rows = {"0": ["n02012849", "crane"], "1": ["n01440764", "tench"], "2": ["n03126707", "crane"]}
    path = write(tmp_path / "imagenet_class_index.json", json.dumps(rows))
    assert read_labels(path) == ["crane (n02012849)", "tench", "crane (n03126707)"]
