"""Standard streams that may be closed, or lose their reader, without ending the command; nobody's escapes pass them."""

import codecs
import errno
import io
import json
import os
import re
import sys
from contextlib import suppress
from typing import IO, Any

import click

from exporters.core.plain_letters import ERRORS, plain
from exporters.core.visible import visible

_READER_GONE = {errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.ESHUTDOWN}  # EIO: the terminal was closed
_NAMES = {1: "standard output", 2: "standard error"}


class _Output(io.FileIO):
    """A file descriptor that discards what is written once nobody reads it any more."""

    reader_gone = False

    def write(self, data: object) -> int:
        """Write bytes; returns how many were taken.

        Raises:
            OSError: the device is full, for one; names the stream.
        """
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            if error.errno not in _READER_GONE:
                raise OSError(error.errno, error.strerror, _NAMES.get(self.fileno(), "output")) from error
            self.reader_gone = True
            discard(self.fileno())
            return memoryview(data).nbytes  # type: ignore[arg-type]


def echo(text: str, *, err: bool = False) -> None:
    """Print a line on standard output or error; what would steer a terminal in it is written out."""
    click.echo(visible(text), err=err)


def echo_json(value: Any, *, line: bool = False) -> None:
    """Print a JSON value on standard output, whole or in one line; whatever the encoding, it keeps its letters.

    Raises:
        ValueError: it has NaN or an infinity.
    """
    unicode = codecs.lookup(getattr(sys.stdout, "encoding", None) or "ascii").name.startswith("utf")
    ascii_ = not unicode or getattr(sys.stdout, "is_ascii", False)
    text = json.dumps(value, indent=None if line else 2, ensure_ascii=ascii_, allow_nan=False)
    click.echo(visible(text))


_OF_A_BAR = re.compile("\r[^\x00-\x1f\x7f-\x9f]*\r?|(?:\n|\x1b\\[A)+")
"""What tqdm, the bar of other libraries, writes at a time: a line in place of the last, or moves between lines."""


class _Text(io.TextIOWrapper):
    """A stream that writes out what would steer a terminal, whoever prints it: a command, a library, a traceback.

    The bars of libraries pass, and what `styled` gives writes as it is.

    Attributes:
        is_ascii: whether letters of ASCII alone are written. The stream still names UTF-8 as its encoding: click
            writes past one that names ASCII.
    """

    is_ascii = False

    def write(self, text: str, /) -> int:
        """Write a text; returns its length."""
        self.write_styled(text if _OF_A_BAR.fullmatch(text) else visible(text))
        return len(text)

    def write_styled(self, text: str) -> int:
        """Write a text with the escape sequences that are in it."""
        return super().write(plain(text) if self.is_ascii else text)


class _Styled:
    """A stream for a program that makes escape sequences itself, and lets none of others through."""

    def __init__(self, stream: _Text) -> None:
        self._stream = stream
        self.write = stream.write_styled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def styled(stream: IO[str]) -> IO[str]:
    """The same stream for text that was cleaned already, and has colours."""
    return _Styled(stream) if isinstance(stream, _Text) else stream  # type: ignore[return-value]


def protect_streams() -> None:
    """Make standard output and error ones that a command can rely on, whatever it was started with.

    One that was closed (`>&-`) discards what is written, as does one whose reader goes away (`| head`): the command
    goes on, and its exit code says how it ended. A letter that an encoding does not have is replaced by one that looks
    alike (`exporters.core.plain_letters`), and what would steer a terminal is written out (`visible`). Streams that a
    caller has put in place of Python's own are left as they are, but for the letters.
    """
    for descriptor in range(3):
        # Otherwise the next file that is opened would take this number, and be written into by what prints.
        try:
            os.fstat(descriptor)
        except OSError:
            discard(descriptor)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _protected(descriptor, None))
        elif stream is getattr(sys, f"__{name}__") and _is_plain_file(stream, descriptor):
            stream.flush()
            setattr(sys, name, _protected(descriptor, stream))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def reader_gone() -> bool:
    """Whether nobody reads standard output any more; asks by writing what is still held back."""
    with suppress(OSError):
        sys.stdout.flush()
    raw = _raw(sys.stdout)
    return isinstance(raw, _Output) and raw.reader_gone


def flush_streams() -> None:
    """Write what is still held back, so that nothing is left to fail when Python ends.

    Raises:
        OSError: standard output could not be written, a full disk for one; what was held back is dropped.
    """
    for stream, descriptor in ((sys.stderr, 2), (sys.stdout, 1)):
        try:
            stream.flush()
        except OSError:
            discard(descriptor)
            with suppress(OSError):
                stream.flush()
            if stream is sys.stdout:
                raise


def discard(descriptor: int) -> None:
    """Lead a file descriptor to where everything is dropped."""
    null = os.open(os.devnull, os.O_RDWR)
    if null == descriptor:
        os.set_inheritable(null, True)
    else:
        os.dup2(null, descriptor)
        os.close(null)


def _is_plain_file(stream: object, descriptor: int) -> bool:
    raw = _raw(stream)
    return isinstance(stream, io.TextIOWrapper) and isinstance(raw, io.FileIO) and raw.fileno() == descriptor


def _raw(stream: object) -> object:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)  # there is no buffer under PYTHONUNBUFFERED


def _protected(descriptor: int, like: io.TextIOWrapper | None) -> _Text:
    raw = _Output(descriptor, "wb", closefd=False)
    if like is None:
        return _Text(io.BufferedWriter(raw), "utf-8", errors=ERRORS)
    is_ascii = codecs.lookup(like.encoding).name == "ascii"
    text = _Text(
        raw if like.write_through else io.BufferedWriter(raw),  # type: ignore[arg-type]
        "utf-8" if is_ascii else like.encoding,
        errors=ERRORS,
        line_buffering=like.line_buffering,
        write_through=like.write_through,
    )
    text.is_ascii = is_ascii
    return text
