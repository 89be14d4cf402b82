"""The API key: where it comes from, and how it is compared."""

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from exporters.core.errors import UsageError
from exporters.core.files import open_regular

API_KEY_VARIABLE = "TMKD_API_KEY"
_LEAST = 16
_MOST = 4096


class ApiKey:
    """A secret that clients show; only its digest is kept, so that it cannot get into a log or a traceback.

    Args:
        text: 16 to 4,096 printable ASCII characters without blanks.
        source: what messages call it.

    Raises:
        UsageError: too short, or not of such characters.
    """

    def __init__(self, text: str, source: str) -> None:
        if not _LEAST <= len(text) <= _MOST or not text.isascii() or not text.isprintable() or " " in text:
            raise UsageError(
                f"{source}: an API key has {_LEAST} to {_MOST:,} printable ASCII characters and no blanks",
                remedy="Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        self._digest = hashlib.sha256(text.encode("ascii")).digest()

    def opens(self, shown: bytes) -> bool:
        """Is it the key? Takes the same time whatever is shown."""
        return hmac.compare_digest(hashlib.sha256(shown).digest(), self._digest)

    def allows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Does a request of these headers show the key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`?"""
        for name, value in headers:
            if name == b"x-api-key" and self.opens(value):
                return True
            if name == b"authorization":
                scheme, _, shown = value.partition(b" ")
                if scheme.lower() == b"bearer" and self.opens(shown.strip()):
                    return True
        return False


def read_api_key(path: Path | None, environment: Mapping[str, str] = os.environ) -> ApiKey | None:
    """The key of a file, else of the variable `TMKD_API_KEY`, else None. Blanks and newlines around it do not count.

    Raises:
        UsageError: a file that cannot be read, or what is no key.
    """
    if path is not None:
        try:
            with open_regular(path) as stream:
                data = stream.read(_MOST + 64)
        except OSError as error:
            raise UsageError(f"{path}: the API key cannot be read: {error.strerror or error}") from error
        return ApiKey(data.decode("latin-1").strip(), str(path))
    if API_KEY_VARIABLE in environment:
        return ApiKey(environment[API_KEY_VARIABLE].strip(), API_KEY_VARIABLE)
    return None
