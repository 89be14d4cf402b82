"""Label files of any kind, and files that are none."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import TmkdError, UnavailableError, UsageError
from exporters.labels import read_labels


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.md", "cat\ndog\n", "not a file of labels by its name"),
        ("a.xlsx", "cat\ndog\n", "not a file of labels by its name"),
    ],
)
def test_mistakes_are_reported_with_the_file(tmp_path: Path, name: str, text: str, told: str) -> None:
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


def test_unreadable_labels_are_refused(tmp_path: Path) -> None:
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
