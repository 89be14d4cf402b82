import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from exporters.serving.decoding import pool as pools
from exporters.serving.decoding.pool import DecodeLimits, DecodePool, default_memory
from exporters.serving.problems import RequestError
from tests.exporters.serving.conftest import photo, wait_for
from tests.exporters.serving.decoding.test_process import MEMORY
from tests.exporters.serving.decoding.test_worker import PREPROCESSING


def run(test: Callable[[DecodePool, Counter[str]], Awaitable[None]], decoders: int = 1, seconds: float = 100.0) -> None:
    async def main() -> None:
        lost: Counter[str] = Counter()
        pool = DecodePool(DecodeLimits(decoders, seconds, MEMORY), lambda reason: lost.update([reason]))
        try:
            await test(pool, lost)
        finally:
            pids = pool.pids
            pool.close()
            assert not any(alive(pid) for pid in pids)

    asyncio.run(main())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def prepare(pool: DecodePool, data: bytes | None = None) -> np.ndarray:
    return (await pool.prepare(PREPROCESSING, photo() if data is None else data, None, 1_000_000)).pixels


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_image_beyond_the_time_limit_is_refused_while_others_are_decoded() -> None:
    async def test(pool: DecodePool, lost: Counter[str]) -> None:
        await pool.start()
        stuck, _ = pool.pids
        os.kill(stuck, signal.SIGSTOP)
        results = await asyncio.gather(*(prepare(pool) for _ in range(4)), return_exceptions=True)
        (error,) = [result for result in results if isinstance(result, RequestError)]
        assert (error.status, error.message) == (422, "the image was not decoded within 3 s")
        assert sum(isinstance(result, np.ndarray) for result in results) == 3
        await until(lambda: len(pool.pids) == 2)
        assert stuck not in pool.pids and not alive(stuck)
        assert lost == {"time": 1}

    run(test, decoders=2, seconds=3)


def test_decoder_that_ends_costs_one_request_a_clear_answer() -> None:
    async def test(pool: DecodePool, lost: Counter[str]) -> None:
        await prepare(pool)
        for number, status, told in (
            (signal.SIGSEGV, 422, "the image ended its decoder (SIGSEGV)"),
            (signal.SIGKILL, 503, "the decoder of the image was killed from outside"),
        ):
            (pid,) = pool.pids
            os.kill(pid, signal.SIGSTOP)
            waiting = asyncio.ensure_future(prepare(pool))
            await asyncio.sleep(0.05)
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)
            with pytest.raises(RequestError) as caught:
                await waiting
            assert (caught.value.status, caught.value.message) == (status, told)
            assert (await prepare(pool)).shape == (32, 32, 3)
            assert pool.pids != [pid]
        assert lost == {"ended": 2}

    run(test)


def test_decoder_that_was_killed_while_idle_costs_no_request() -> None:
    async def test(pool: DecodePool, lost: Counter[str]) -> None:
        await prepare(pool)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(wait_for, lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT))
        assert (await prepare(pool)).shape == (32, 32, 3)
        assert lost == {"ended": 1}

    run(test)


def test_pool_is_stalled_while_every_decoder_is_stuck_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_LATE", 0.001)

    async def test(pool: DecodePool, _lost: Counter[str]) -> None:
        await pool.start()
        assert not pool.stalled
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        waiting = asyncio.ensure_future(prepare(pool))
        await until(lambda: pool.stalled)
        os.kill(pid, signal.SIGCONT)
        assert (await waiting).shape == (32, 32, 3)
        assert not pool.stalled

    run(test)


def test_client_that_leaves_frees_the_decoder_once_it_is_done() -> None:
    async def test(pool: DecodePool, lost: Counter[str]) -> None:
        await pool.start()
        waiting = [asyncio.ensure_future(prepare(pool)) for _ in range(3)]
        await asyncio.sleep(0)
        for request in waiting:
            request.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        (pid,) = pool.pids
        assert (await prepare(pool)).shape == (32, 32, 3)
        assert pool.pids == [pid] and not lost

    run(test)


def test_decoders_that_cannot_be_started_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_BACK_OFF", 0.05)

    async def test(pool: DecodePool, lost: Counter[str]) -> None:
        with monkeypatch.context() as broken:
            broken.setattr("sys.executable", "/bin/false")
            for _ in range(2):
                with pytest.raises(RequestError, match="no decoder can be started") as caught:
                    await prepare(pool)
                assert caught.value.status == 503
                await until(lambda: pool.stalled)
        await until(lambda: not pool.stalled)
        assert (await prepare(pool)).shape == (32, 32, 3)
        assert set(lost) == {"start"}

    run(test)


def test_default_memory_grows_with_what_is_allowed() -> None:
    assert default_memory(25_000_000, 16 * 2**20) == 256 * 2**20 + 40 * 25_000_000 + 4 * 16 * 2**20
