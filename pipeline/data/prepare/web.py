"""HTTP as far as a download needs it: http and https only, resumed by Range, and errors sorted into two kinds."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from ssl import SSLCertVerificationError, SSLError
from typing import Any
from urllib.parse import urlsplit

from exporters import __version__
from exporters.core.errors import UnavailableError

TIMEOUT = 30.0
"""Seconds without a byte until a connection counts as cut."""

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class CutError(Exception):
    """A connection that did not hold, so that another attempt may do better."""


class RefusedError(Exception):
    """An answer that will not change by asking again; the text says which."""


@dataclass(frozen=True)
class Version:
    """What a server says of the file's version, by which a changed file is known."""

    etag: str | None
    last_modified: str | None

    @property
    def condition(self) -> str | None:
        """The value of `If-Range`: a strong ETag, else the date; None where neither is given."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def contradicts(self, other: "Version") -> bool:
        """Whether both say something, and not the same."""
        pairs = ((self.etag, other.etag), (self.last_modified, other.last_modified))
        return any(mine and theirs and mine != theirs for mine, theirs in pairs)


@dataclass(frozen=True)
class Answer:
    """An open answer.

    Attributes:
        start: the position in the file of the first byte of the body.
        total: size of the whole file, None where the server does not say.
        version: of the file.
        body: the open response.
    """

    start: int
    total: int | None
    version: Version
    body: HTTPResponse

    def read(self, size: int) -> bytes:
        """The next bytes of the body, none at its end.

        Raises:
            CutError: the connection broke.
        """
        try:
            return self.body.read(size)
        except (HTTPException, OSError) as error:
            raise CutError(f"the connection broke: {error or type(error).__name__}") from error


class _NoRange(Exception):
    def __init__(self, total: int | None) -> None:
        super().__init__()
        self.total = total


class _WebOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        require_web(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: HTTPMessage
    ) -> HTTPResponse | None:
        # The base class would refuse file: by an HTTPError that reads like the server's own.
        if location := headers.get("location"):
            require_web(location, relative=True)
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def require_web(url: str, relative: bool = False) -> None:
    """Let nothing but http and https through.

    Raises:
        RefusedError: another scheme; names the address.
    """
    try:
        scheme = urlsplit(url).scheme.lower()
    except ValueError as error:
        raise RefusedError(f"leads to {url[:200]}, which is no address: {error}") from error
    if scheme not in ("http", "https") and not (relative and not scheme):
        raise RefusedError(f"leads to {url[:200]}, which is neither http nor https")


def _opener() -> urllib.request.OpenerDirector:
    # Not build_opener, which would also open file:, ftp: and data:.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _WebOnly(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


@contextmanager
def ask(url: str, start: int, version: Version | None, timeout: float = TIMEOUT) -> Iterator[Answer | int | None]:
    """Ask for a file from a position on.

    Args:
        url: http or https.
        start: the first byte that is wanted; 0 for the whole file.
        version: of the bytes that are there already, where it is known.
        timeout: seconds without a byte.

    Yields:
        The answer, which may begin at 0 although more was asked for. Where nothing lies at `start` (416), the size of
        the file, or None where the server does not say.

    Raises:
        CutError: no connection, or one that broke.
        RefusedError: the server refuses, or leads elsewhere than to http or https.
    """
    require_web(url)
    headers = {"User-Agent": f"tmkd-pipeline/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version is not None and version.condition:
            headers["If-Range"] = version.condition
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 (require_web)
        try:
            with _open(request, timeout) as response:
                yield _answer(response, start)
        except _NoRange as nothing:
            yield nothing.total
    except (RefusedError, CutError):
        raise
    except urllib.error.HTTPError as error:
        text = f"the server answers {error.code} {error.reason}"
        raise (CutError if error.code in _AGAIN else RefusedError)(text) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, SSLCertVerificationError):
            raise RefusedError(f"its certificate is not trusted: {error.reason.verify_message}") from error
        raise CutError(f"no connection: {error.reason}") from error
    except (HTTPException, ConnectionError, TimeoutError, SSLError) as error:
        raise CutError(f"the connection broke: {error or type(error).__name__}") from error


@contextmanager
def _open(request: urllib.request.Request, timeout: float) -> Iterator[HTTPResponse]:
    try:
        response = _opener().open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            found = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", "").strip())
            error.close()
            raise _NoRange(int(found[1]) if found else None) from error
        error.close()
        raise
    if response is None:
        raise RefusedError("the server gives no answer that can be used")
    with response:
        yield response


def _answer(response: HTTPResponse, asked: int) -> Answer:
    version = Version(response.headers.get("ETag"), response.headers.get("Last-Modified"))
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise RefusedError(f"the server encodes it as {response.headers['Content-Encoding'][:50]}")
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != asked:
            raise RefusedError("the server answers with another part of the file than was asked for")
        return Answer(asked, None if found[2] == "*" else int(found[2]), version, response)
    if response.status != 200:
        raise RefusedError(f"the server answers {response.status} {response.reason}")
    length = response.headers.get("Content-Length", "")
    return Answer(0, int(length) if length.isascii() and length.isdecimal() else None, version, response)


def unavailable(url: str, reason: str, target: str) -> UnavailableError:
    """The error for a file that cannot be had, with what to do by hand."""
    return UnavailableError(
        f"{url}: {reason}", remedy=f"Try again later, or download it by hand to {target}; the same command goes on."
    )
