"""Labels in JSON and in YAML."""

from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from exporters.labels import read_labels


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_yaml_labels_stay_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "- no\n- 010\n- 1.0\n- 2024-01-01\n")
    assert read_labels(path) == ["no", "010", "1.0", "2024-01-01"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
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
    ],
)
def test_mistakes_are_reported_with_the_file(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        read_labels(write(tmp_path / name, text))
    assert str(tmp_path / name) in caught.value.message and caught.value.remedy
