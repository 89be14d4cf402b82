"""A server under load and attack for a long time, with the figures that tell whether it could go on like that for ever.

    python -m tests.soak.serve [BUNDLE] --minutes 60 --json soak.json
    python -m tests.soak.serve [BUNDLE] --requests 200000

Connections send ordinary requests as fast as they are answered and compare each answer with the client's, or with the
golden vectors. Beside them, hostile clients of other addresses do all that `benchmarks.serving_attacks` has, send
broken images, and hold as many silent connections as they can get. A probe asks whether the server is ready all the
while, on the port of administration. At the end, SIGTERM comes under load. Exit 1 if an answer is wrong or lost, an
attack is not refused in order, the memory at the end is more than 10 % above that after the first minute, or the
server does not end with 0 in time. Linux.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from benchmarks.processes import cpu_seconds, own_bytes
from benchmarks.serving_attacks import ATTACKS, scan_bomb, seen
from benchmarks.serving_faults import broken_uploads
from exporters.benchmark.machine import describe_machine
from exporters.core.files import write_json
from tests.soak.load import Connection, Tally, make_requests, photo

MOST_GROWTH = 1.1
_TIMEOUT = 10.0
_PATIENCE = 2 * _TIMEOUT  # of an attacker: whoever is still connected then is not bounded
_SETTLED = 60.0  # seconds until memory counts
_WINDOW = 20  # samples of a second, whose median counts
_BUNDLE = Path("runs/quickstart/bundle")
_ATTACKERS = 4
_SILENT = 256  # connections of each of three addresses

Found = dict[str, Counter[str]]


class Soak:
    """One run.

    Args:
        address, admin: of the server.
        found: what became of the attacks.
    """

    def __init__(self, address: tuple[str, int], admin: tuple[str, int]) -> None:
        self.address, self.admin = address, admin
        self.found: Found = defaultdict(Counter)
        self.probes: list[float] = []
        self.failed_probes: list[str] = []
        self.not_ready = 0
        self.stop = threading.Event()

    def connect(self, attacker: int) -> socket.socket:
        """A connection from an address of an attacker's own, so that he uses up his own share."""
        return socket.create_connection(self.address, _PATIENCE, (f"127.0.1.{attacker}", 0))

    def attack(self, attacker: int) -> None:
        """One attack after the other, in any order."""
        order = random.Random(attacker)
        while not self.stop.wait(0.05):
            name = order.choice(list(ATTACKS))
            try:
                with self.connect(attacker) as connection:
                    self.found[name][ATTACKS[name](connection, _PATIENCE)] += 1
            except OSError as error:
                self.found[name][outcome_of(error)] += 1

    def upload(self, attacker: int) -> None:
        """Broken images, bombs, and malformed forms."""
        uploads = [*broken_uploads(photo(0, "JPEG")), (scan_bomb(4900, 5000), {}), (scan_bomb(1000, 50_000), {})]
        order = random.Random(attacker)
        while not self.stop.wait(0.1):
            number = order.randrange(len(uploads))
            body, headers = uploads[number]
            connection = http.client.HTTPConnection(
                *self.address, timeout=_PATIENCE, source_address=(f"127.0.1.{attacker}", 0)
            )
            try:
                connection.request("POST", "/predict", body, headers)
                answer = connection.getresponse()
                told = answer.read()
                orderly = list(json.loads(told)) == ["error"]
                self.found[f"broken upload {number}"][f"{answer.status}" if orderly else f"{told[:80]!r}"] += 1
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.found[f"broken upload {number}"][outcome_of(error)] += 1
            finally:
                connection.close()

    def be_silent(self) -> None:
        """As many connections as three addresses get, for as long as they get them; then again."""
        while not self.stop.wait(_TIMEOUT):  # so long, the others have places
            held: list[socket.socket] = []
            for attacker in (101, 102, 103):
                for _ in range(_SILENT):
                    try:
                        held.append(self.connect(attacker))
                    except OSError as error:
                        self.found["silent connections"][outcome_of(error)] += 1
            end = time.monotonic() + _PATIENCE
            for connection in held:
                with connection:
                    self.found["silent connections"][seen(connection, end)] += 1

    def probe(self) -> None:
        """Ask whether the server is ready, ten times a second."""
        while not self.stop.wait(0.1):
            started = time.monotonic()
            connection = http.client.HTTPConnection(*self.admin, timeout=_PATIENCE)
            try:
                connection.request("GET", "/v2/health/ready")
                answer = connection.getresponse()
                if "ready" not in json.loads(answer.read()):
                    self.failed_probes.append(str(answer.status))
                self.not_ready += answer.status != 200
                self.probes.append(time.monotonic() - started)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failed_probes.append(f"{type(error).__name__}: {error}")
            finally:
                connection.close()


def start(bundle: Path, log: Path, arguments: list[str]) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """The server, and what it says when it listens."""
    command = [sys.executable, "-m", "pipeline", "serve", str(bundle), "--port", "0", "--admin-port", "0"]
    with log.open("wb") as stream:
        process = subprocess.Popen([*command, "--timeout", f"{_TIMEOUT:g}", *arguments], stderr=stream)
    while process.poll() is None:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        if listening := [line for line in lines if line.get("event") == "listening"]:
            return process, listening[0]
        time.sleep(0.1)
    raise SystemExit(f"the server did not start:\n{log.read_text()}")


def measure(bundle: Path, seconds: float, requests: int, connections: int, arguments: list[str]) -> dict[str, Any]:
    """Run until so much time has passed and so many requests are answered; gives the figures."""
    asked = make_requests(bundle)
    tally, memory = Tally(), []
    with tempfile.TemporaryDirectory() as temporary:
        log = Path(temporary) / "log"
        process, listening = start(bundle, log, arguments)
        try:
            soak = Soak(("127.0.0.1", listening["port"]), ("127.0.0.1", listening["admin_port"]))
            load = [Connection(soak.address, asked, tally, seed) for seed in range(connections)]
            hostile = [threading.Thread(target=soak.attack, args=(number,)) for number in range(1, _ATTACKERS + 1)]
            hostile += [threading.Thread(target=soak.upload, args=(number,)) for number in (51, 52)]
            hostile += [threading.Thread(target=soak.be_silent), threading.Thread(target=soak.probe)]
            for thread in (*load, *hostile):
                thread.daemon = True
                thread.start()
            started = told = time.monotonic()
            while process.poll() is None:
                time.sleep(1)
                now = time.monotonic()
                memory.append((now - started, own_bytes(process.pid)))
                if now - told > 60:
                    told = now
                    print(progress(now - started, tally, memory), file=sys.stderr, flush=True)
                if now - started >= seconds and tally.done.total() >= requests:
                    break
            elapsed, cpu = time.monotonic() - started, cpu_seconds(process.pid)
            soak.stop.set()
            process.send_signal(signal.SIGTERM)
            ending = time.monotonic()
            code: int | None = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(_PATIENCE + 5)  # the requests' own limits, and a little
            ending = time.monotonic() - ending
            for thread in load:
                thread.join(2 * _TIMEOUT)
            events = Counter(json.loads(line).get("event", "other") for line in log.read_text().splitlines())
        finally:
            process.kill()
            process.wait()
    settled = [size for second, size in memory if second >= min(_SETTLED, elapsed / 3)]
    first, last = (statistics.median(part) for part in (settled[:_WINDOW], settled[-_WINDOW:]))
    seconds_each = sorted(tally.seconds)
    return {
        "machine": describe_machine(),
        "seconds": round(elapsed, 1),
        "connections": connections,
        "requests": dict(tally.done),
        "answered": tally.done.total(),
        "wrong": len(tally.wrong),
        "lost": len(tally.lost),
        "turned_away": tally.turned_away,
        "examples": [*tally.wrong[:3], *tally.lost[:3]],
        "p50_seconds": round(seconds_each[len(seconds_each) // 2], 4),
        "p99_seconds": round(seconds_each[int(0.99 * len(seconds_each))], 4),
        "cpu_seconds": round(cpu, 1),
        "memory_bytes": {"settled": int(first), "end": int(last), "peak": max(size for _, size in memory)},
        "growth": round(last / first, 4),
        "probes": len(soak.probes),
        "probes_failed": len(soak.failed_probes),
        "probes_not_ready": soak.not_ready,
        "slowest_probe_seconds": round(max(soak.probes), 3),
        "attacks": {name: dict(found) for name, found in sorted(soak.found.items())},
        "log_events": dict(events),
        "exit_code": code,
        "seconds_to_end": round(ending, 2),
    }


def progress(seconds: float, tally: Tally, memory: list[tuple[float, int]]) -> str:
    """A line a minute."""
    return (
        f"{seconds / 60:.0f} min: {tally.done.total():,} answered, {len(tally.wrong)} wrong, {len(tally.lost)} lost,"
        f" {memory[-1][1] / 1e6:.0f} MB"
    )


def failures(result: dict[str, Any]) -> list[str]:
    """What must not be."""
    found = [f"{result[kind]} answers are {kind}: {result['examples']}" for kind in ("wrong", "lost") if result[kind]]
    if result["growth"] > MOST_GROWTH:
        found.append(f"memory is {result['growth']:.3f} of that after the first minute: {result['memory_bytes']}")
    if result["exit_code"] != 0:
        found.append(f"the server ended with {result['exit_code']} after {result['seconds_to_end']} s")
    if result["probes_failed"]:
        found.append(f"{result['probes_failed']} of {result['probes']} probes were not answered")
    for name, outcomes in result["attacks"].items():
        for outcome, count in outcomes.items():
            if not is_orderly(outcome):
                found.append(f"{name}: {outcome}, {count} times")
    if events := result["log_events"].get("error"):
        found.append(f"{events} internal errors in the log")
    return found


def outcome_of(error: Exception) -> str:
    """As `benchmarks.serving_attacks` has it: a connection may be ended without an answer where none are left."""
    return "ended" if isinstance(error, ConnectionError) else type(error).__name__


def is_orderly(outcome: str) -> bool:
    """Whether an attack was ended by the server, with an answer that is none of a failure, or without one."""
    if outcome.isdecimal():
        return outcome in ("200", "503") or outcome.startswith("4")
    return outcome == "ended"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?", default=_BUNDLE, help=f"default: {_BUNDLE}")
    parser.add_argument("--minutes", type=float, help="at least so long; default: 3, or 0 with --requests")
    parser.add_argument("--requests", type=int, default=0, help="at least so many")
    parser.add_argument("--connections", type=int, default=8, help="of the ordinary requests")
    parser.add_argument("--serve", default="", help="further arguments of `serve`, with blanks between them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args(arguments)
    minutes = options.minutes if options.minutes is not None else (0 if options.requests else 3)
    result = measure(options.bundle, 60 * minutes, options.requests, options.connections, options.serve.split())
    found = failures(result)
    result["failures"] = found
    print(json.dumps(result, indent=2))
    if options.json is not None:
        write_json(options.json, result)
    sys.stdout.flush()
    os._exit(1 if found else 0)  # hostile threads may still be waiting


if __name__ == "__main__":
    main()
