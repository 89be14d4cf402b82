from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from exporters.serving.security import API_KEY_VARIABLE, ApiKey, read_api_key

TEXT = "0123456789abcdef"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([], False),
        ([(b"authorization", b"Bearer " + TEXT.encode())], True),
        ([(b"authorization", b"bearer  " + TEXT.encode())], True),
        ([(b"authorization", b"Basic " + TEXT.encode())], False),
        ([(b"authorization", TEXT.encode())], False),
        ([(b"authorization", b"Bearer")], False),
        ([(b"x-api-key", TEXT.encode())], True),
        ([(b"x-api-key", TEXT.encode() + b"x")], False),
        ([(b"x-api-key", b"\xff")], False),
        ([(b"cookie", TEXT.encode())], False),
    ],
)
def test_only_the_right_key_is_allowed(headers: list[tuple[bytes, bytes]], allowed: bool) -> None:
    assert ApiKey(TEXT, "key").allows(headers) is allowed


def test_the_key_is_not_kept() -> None:
    assert TEXT not in repr(vars(ApiKey(TEXT, "key")))


@pytest.mark.parametrize(
    "text", ["", "short", "x" * 5000, "with blanks in between", "schlüssel-schlüssel", "line\nline-line-li"]
)
def test_bad_keys_are_refused_and_not_disclosed(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        ApiKey(text, "key")
    assert not text or text not in str(caught.value)


def test_key_is_read_from_file_or_environment(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{TEXT}\n")
    from_file = read_api_key(path, {API_KEY_VARIABLE: "another-key-of-mine"})
    from_environment = read_api_key(None, {API_KEY_VARIABLE: TEXT})
    assert from_file and from_file.matches(TEXT.encode())
    assert from_environment and from_environment.matches(TEXT.encode())
    assert read_api_key(None, {}) is None
    with pytest.raises(UsageError, match=API_KEY_VARIABLE):
        read_api_key(None, {API_KEY_VARIABLE: ""})  # an empty variable is a mistake, and no wish for an open server
    with pytest.raises(UsageError, match="none"):
        read_api_key(tmp_path / "none")
