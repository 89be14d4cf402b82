import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from exporters.serving.exchange import Exchange


class Client:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.waited = 0
        self.read = 0
        self.ends: list[bool] = []

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drained(self) -> None:
        self.waited += 1

    def unread_changed(self) -> None:
        self.read += 1

    def answered(self, exchange: Exchange, complete: bool) -> None:
        self.ends.append(complete)


def run(test: Callable[[Exchange, Client], Awaitable[None]], *headers: tuple[bytes, bytes], **scope: Any) -> None:
    async def main() -> None:
        client = Client()
        defaults = {"method": "POST", "http_version": "1.1", "headers": list(headers)}
        await test(Exchange(client, {**defaults, **scope}, True), client)

    asyncio.run(main())


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def test_pieces_of_the_body_are_joined_until_they_are_read() -> None:
    async def test(exchange: Exchange, client: Client) -> None:
        exchange.feed(b"ab")
        exchange.feed(b"cd")
        assert await exchange.receive() == {"type": "http.request", "body": b"abcd", "more_body": True}
        waiting = asyncio.create_task(exchange.receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        exchange.feed(b"e")
        exchange.end()
        assert await waiting == {"type": "http.request", "body": b"e", "more_body": False}
        last = asyncio.create_task(exchange.receive())
        await asyncio.sleep(0)
        assert not last.done()
        exchange.disconnect()
        assert await last == {"type": "http.disconnect"}

    run(test)


def test_unread_body_is_bounded() -> None:
    async def test(exchange: Exchange, client: Client) -> None:
        exchange.feed(bytes(64 * 1024))
        assert not exchange.full
        exchange.feed(b"x")
        assert exchange.full
        await exchange.receive()
        assert not exchange.full and client.read == 1

    run(test)


def test_body_after_the_answer_is_discarded() -> None:
    async def test(exchange: Exchange, client: Client) -> None:
        await exchange.send(start())
        await exchange.send(body(b"x"))
        exchange.feed(bytes(100_000))
        assert not exchange.full and client.ends == [True]
        assert await exchange.receive() == {"type": "http.disconnect"}

    run(test)


def test_long_answers_wait_for_the_client() -> None:
    async def test(exchange: Exchange, client: Client) -> None:
        await exchange.send(start(200, (b"Content-Length", b"3")))
        await exchange.send(body(b"ab", more=True))
        assert (client.waited, client.ends) == (1, [])
        await exchange.send(body(b"c"))
        assert (client.waited, client.ends) == (1, [True])
        assert client.sent.endswith(b"\r\ncontent-length: 3\r\n\r\nabc")

    run(test)


@pytest.mark.parametrize("status", [204, 304])
def test_answers_that_have_no_body_get_none(status: int) -> None:
    async def test(exchange: Exchange, client: Client) -> None:
        await exchange.send(start(status))
        await exchange.send(body(b"x"))
        assert client.sent.startswith(b"HTTP/1.1 %d " % status) and client.sent.endswith(b"\r\n\r\n")
        assert b"transfer-encoding" not in client.sent

    run(test)


@pytest.mark.parametrize(
    "messages", [[body(b"")], [start(), start()], [start(), body(b""), body(b"")], [{"type": "http.response.push"}]]
)
def test_messages_out_of_order_are_errors(messages: list[dict[str, Any]]) -> None:
    async def test(exchange: Exchange, client: Client) -> None:
        for message in messages[:-1]:
            await exchange.send(message)
        with pytest.raises(RuntimeError, match=messages[-1]["type"]):
            await exchange.send(messages[-1])

    run(test)


def test_line_breaks_in_headers_are_errors() -> None:
    async def test(exchange: Exchange, client: Client) -> None:
        await exchange.send(start(200, (b"x", b"a\r\nset-cookie: b")))
        with pytest.raises(RuntimeError, match="line break"):
            await exchange.send(body(b""))
        assert not client.sent

    run(test)


def test_nothing_is_sent_to_a_client_that_is_gone() -> None:
    async def test(exchange: Exchange, client: Client) -> None:
        exchange.disconnect()
        await exchange.send(start())
        await exchange.send(body(b"x"))
        assert not client.sent and not client.ends

    run(test)


def test_answer_that_breaks_off_is_told() -> None:
    async def test(exchange: Exchange, client: Client) -> None:
        await exchange.send(start())
        exchange.finish(False)
        exchange.finish(False)
        assert client.ends == [False]

    run(test)
