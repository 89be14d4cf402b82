import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from exporters.images.decoding import open_rgb
from exporters.serving.decoding.messages import DecodeRequest
from exporters.serving.decoding.process import Decoder, DecoderEndedError
from exporters.serving.problems import RequestError
from tests.exporters.images.hostile import png
from tests.exporters.serving.conftest import photo, wait_for
from tests.exporters.serving.decoding.test_worker import PREPROCESSING, REQUEST

MEMORY = 512 * 2**20


def run(test: Callable[[Decoder], Awaitable[None]], memory: int = MEMORY) -> None:
    async def main() -> None:
        decoder = await Decoder.start(memory, 100)
        try:
            await test(decoder)
        finally:
            decoder.kill()

    asyncio.run(main())


def test_decoded_pixels_are_those_of_this_process() -> None:
    async def test(decoder: Decoder) -> None:
        for seed, kind in enumerate(("JPEG", "PNG", "WEBP", "TIFF")):
            data = photo(seed, 700, 500, kind)
            upload = await decoder.decode(REQUEST, data)
            np.testing.assert_array_equal(upload.pixels, PREPROCESSING.apply(open_rgb(data)))
            assert (upload.width, upload.height) == (700, 500)
        with pytest.raises(RequestError, match="not an image of a known kind") as caught:
            await decoder.decode(REQUEST, b"none")
        assert caught.value.status == 422
        assert (await decoder.decode(REQUEST, photo())).pixels.shape == (32, 32, 3)

    run(test)


def test_memory_is_limited() -> None:
    async def test(decoder: Decoder) -> None:
        large = DecodeRequest(PREPROCESSING.to_json(), None, 64_000_000)
        with pytest.raises(RequestError, match="not enough memory") as caught:
            await decoder.decode(large, png(side=8000))
        assert caught.value.status == 422
        assert (await decoder.decode(REQUEST, photo())).pixels.shape == (32, 32, 3)

    run(test, memory=160 * 2**20)


def test_process_that_ends_is_an_error() -> None:
    async def test(decoder: Decoder) -> None:
        os.kill(decoder.pid, signal.SIGSTOP)
        waiting = asyncio.ensure_future(decoder.decode(REQUEST, photo()))
        await asyncio.sleep(0)
        os.kill(decoder.pid, signal.SIGSEGV)
        os.kill(decoder.pid, signal.SIGCONT)
        with pytest.raises(DecoderEndedError):
            await waiting
        assert await decoder.end() == -signal.SIGSEGV
        with pytest.raises(DecoderEndedError):
            await decoder.decode(REQUEST, photo())

    run(test)


def test_signals_that_are_meant_for_the_server_end_no_decoder() -> None:
    async def test(decoder: Decoder) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(decoder.pid, number)
        assert (await decoder.decode(REQUEST, photo())).pixels.shape == (32, 32, 3)
        assert decoder.running

    run(test)


def test_stopped_process_can_be_killed_and_leaves_nothing() -> None:
    async def test(decoder: Decoder) -> None:
        os.kill(decoder.pid, signal.SIGSTOP)
        assert decoder.kill() == -signal.SIGKILL
        assert not decoder.running
        assert not Path(f"/proc/{decoder.pid}").exists()

    run(test)


def test_process_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")

    async def test(_decoder: Decoder) -> None:
        pytest.fail("it cannot have started")

    with pytest.raises(DecoderEndedError):
        run(test)


def test_decoder_ends_with_a_server_that_is_killed() -> None:
    program = """
import asyncio
from exporters.serving.decoding.process import Decoder

async def main():
    decoder = await Decoder.start(2**29, 100)
    print(decoder.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        os.kill(pid, signal.SIGSTOP)  # it cannot end by itself
        server.kill()
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1])
