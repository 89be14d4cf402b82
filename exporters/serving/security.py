"""The API key: reading and comparing it."""

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from exporters.core.errors import UsageError
from exporters.core.files import open_regular

API_KEY_VARIABLE = "TMKD_API_KEY"
_MIN_LENGTH = 16
_MAX_LENGTH = 4096


class ApiKey:
    """A secret that clients send; only its digest is kept, so that it cannot appear in a log or a traceback.

    Args:
        text: 16 to 4,096 printable ASCII characters without blanks.
        source: where it comes from, for messages.

    Raises:
        UsageError: too short, or not of such characters.
    """

    def __init__(self, text: str, source: str) -> None:
        if not _MIN_LENGTH <= len(text) <= _MAX_LENGTH or not text.isascii() or not text.isprintable() or " " in text:
            raise UsageError(
                f"{source}: an API key has {_MIN_LENGTH} to {_MAX_LENGTH:,} printable ASCII characters and no blanks",
                remedy="Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        self._digest = hashlib.sha256(text.encode("ascii")).digest()

    def matches(self, value: bytes) -> bool:
        """Whether a value is the key; takes the same time for every value."""
        return hmac.compare_digest(hashlib.sha256(value).digest(), self._digest)

    def allows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the headers of a request hold the key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`."""
        for name, value in headers:
            if name == b"x-api-key" and self.matches(value):
                return True
            if name == b"authorization":
                scheme, _, key = value.partition(b" ")
                if scheme.lower() == b"bearer" and self.matches(key.strip()):
                    return True
        return False


def read_api_key(path: Path | None, environment: Mapping[str, str] = os.environ) -> ApiKey | None:
    """Read the key from a file, else from the variable `TMKD_API_KEY`; None without either. White space is stripped.

    Raises:
        UsageError: the file cannot be read, or its content is not a key.
    """
    if path is not None:
        try:
            with open_regular(path) as stream:
                data = stream.read(_MAX_LENGTH + 64)
        except OSError as error:
            raise UsageError(f"{path}: the API key cannot be read: {error.strerror or error}") from error
        return ApiKey(data.decode("latin-1").strip(), str(path))
    if API_KEY_VARIABLE in environment:
        return ApiKey(environment[API_KEY_VARIABLE].strip(), API_KEY_VARIABLE)
    return None
