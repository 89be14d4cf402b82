"""HTTP servers under attack, and what a request costs each: the table of docs/decisions/server.md.

    pip install granian hypercorn uvicorn h11        beside the extra `serve`
    python -m benchmarks.http_servers [SERVER …]

Each runs the same small application with its own limits where it has some: 5 s, 64 KiB of headers. An attack's line
says what the attacker saw within 8 s, how much memory the server gained, and how long another client's probe took at
most. A request's cost is CPU time of the server's processes, the least of three rounds over 4 connections. Linux.
"""

import argparse
import asyncio
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

from benchmarks.processes import cpu_seconds, own_bytes
from benchmarks.serving_attacks import ATTACKS

_LIMIT = 1_000_000  # bytes of a body, by the application, as ours bounds them
_PATIENCE = 8.0
_REQUESTS = 2000
_SEARCH = "benchmarks.http_servers:app"
_SELF = "benchmarks.http_servers"
COMMANDS = {
    "ours": f"{_SELF} --port {{port}}",
    "granian": f"granian {_SEARCH} --interface asgi --port {{port}} --log-level critical --http 1 --backpressure 600"
    " --http1-header-read-timeout 5000 --http1-buffer-size 65536",
    "hypercorn": f"hypercorn {_SEARCH} --bind 127.0.0.1:{{port}} --worker-class uvloop --log-level critical"
    " --read-timeout 5 --keep-alive 5",
    "uvicorn, h11": f"uvicorn {_SEARCH} --port {{port}} --http h11 --log-level critical --limit-concurrency 600"
    " --h11-max-incomplete-event-size 65536",
    "uvicorn, httptools": f"uvicorn {_SEARCH} --port {{port}} --http httptools --log-level critical"
    " --limit-concurrency 600",
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body up to the limit within 5 s, and answers with its size; `/openapi.json` has 30 kB."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
        return
    size, status = 0, 200
    try:
        async with asyncio.timeout(5):
            while True:
                message = await receive()
                size += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    break
                if size > _LIMIT:
                    status = 413
                    break
    except TimeoutError:
        status = 408
    body = b"x" * 30_000 if scope["path"] == "/openapi.json" else b"%d." % size
    headers = [(b"content-length", str(len(body)).encode())] + [(b"connection", b"close")] * (status == 408)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve(port: int) -> None:
    """The application behind the server that ships."""
    import uvloop

    from exporters.serving.connection import Connection, Timeouts
    from exporters.serving.connections import Connections

    async def main() -> None:
        make = partial(Connection, app, Timeouts(5, 75), Connections(600, 600), set())
        await (await asyncio.get_running_loop().create_server(make, "127.0.0.1", port)).serve_forever()

    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Watch(threading.Thread):
    """Asks for an answer again and again while an attack lasts, and looks at the server's memory."""

    def __init__(self, pid: int, address: tuple[str, int]) -> None:
        super().__init__(daemon=True)
        self.pid, self.address = pid, address
        self.stop = threading.Event()
        self.before = self.peak = own_bytes(pid)
        self.slowest = 0.0

    def run(self) -> None:
        while not self.stop.wait(0.02):
            started = time.monotonic()
            try:
                with socket.create_connection(self.address, 60) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    while connection.recv(4096):
                        pass
            except OSError:
                pass
            self.slowest = max(self.slowest, time.monotonic() - started)
            self.peak = max(self.peak, own_bytes(self.pid))


def cost(pid: int, address: tuple[str, int], size: int) -> float:
    """Microseconds of CPU for a request with a body of so many bytes."""
    request = b"POST /x HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)

    def work() -> None:
        with socket.create_connection(address) as connection:
            for _ in range(_REQUESTS // 4):
                connection.sendall(request)
                answer = b""
                while not answer.endswith(b"."):
                    answer += connection.recv(65536)

    rounds = []
    for _ in range(3):
        before = cpu_seconds(pid)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rounds.append(1e6 * (cpu_seconds(pid) - before) / _REQUESTS)
    return min(rounds)


def measure(name: str) -> None:
    """Print the lines of one server."""
    port = free_port()
    address = ("127.0.0.1", port)
    process = subprocess.Popen([sys.executable, "-m", *COMMANDS[name].format(port=port).split()])
    try:
        while process.poll() is None:
            try:
                socket.create_connection(address).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        costs = [f"{cost(process.pid, address, size):.0f} µs at {size:,} bytes" for size in (100, 100_000)]
        print(f"{name} | CPU a request | {', '.join(costs)}", flush=True)
        for attack, run in ATTACKS.items():
            watch = Watch(process.pid, address)
            watch.start()
            with socket.create_connection(address) as connection:
                found = run(connection, _PATIENCE)
            watch.stop.set()
            watch.join()
            gained = (watch.peak - watch.before) / 1e6
            print(f"{name} | {attack} | {found} | +{gained:.0f} MB | probe {watch.slowest:.2f} s", flush=True)
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", help=f"of {'; '.join(COMMANDS)}; default: all")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.port is not None:
        serve(options.port)
    for name in options.servers or COMMANDS:
        measure(name)


if __name__ == "__main__":
    main()
