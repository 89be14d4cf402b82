import io

import pytest

from pipeline.data.prepare.streams import LARGEST_READ, Counted, Forward, RefusedError


def test_forward_stream_reads_and_skips() -> None:
    stream = Forward(io.BytesIO(bytes(range(100))), most=100)
    assert stream.read(3) == bytes([0, 1, 2]) and stream.tell() == 3
    assert stream.seek(10) == 10 and stream.read(1) == bytes([10])


def test_forward_stream_goes_back_by_one_byte_only() -> None:
    stream = Forward(io.BytesIO(b"abcdef"), most=10)
    stream.read(3)
    assert stream.seek(2) == 2 and stream.read(2) == b"cd" and stream.tell() == 4
    for position, whence in ((1, io.SEEK_SET), (0, io.SEEK_END)):
        with pytest.raises(RefusedError, match="from its beginning to its end"):
            stream.seek(position, whence)


def test_forward_stream_refuses_too_much() -> None:
    with pytest.raises(RefusedError, match="more than 5 bytes"):
        Forward(io.BytesIO(b"abcdef"), most=5).read(6)
    for size in (-1, LARGEST_READ + 1):
        with pytest.raises(RefusedError, match="a header of it claims to be"):
            Forward(io.BytesIO(b""), most=5).read(size)


def test_counted_stream_counts_what_is_read() -> None:
    class Steps:
        done = 0

        def advance(self, steps: int = 1) -> None:
            self.done += steps

    steps = Steps()
    stream = Counted(io.BytesIO(b"abcdef"), steps)
    assert (stream.read(4), stream.read(4)) == (b"abcd", b"ef") and steps.done == 6
    assert stream.readable() and not stream.seekable()
