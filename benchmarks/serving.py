"""The server under load, against a bare loop that decodes and classifies the same files, as images per CPU second.

    python -m benchmarks.serving BUNDLE --images photos/                      2,000 requests
    python -m benchmarks.serving BUNDLE --images photos/ --requests 60000

32 connections of locust send JPEG files and compare every answer with `Student.predict` of the bundle. In the first
third nothing else happens, and CPU seconds are counted: the load generator shares the processors, so that wall clock
tells little. Then the bundle is exchanged for another version, for one that does not reproduce its golden vectors, and
back, while other clients send broken uploads, and some send next to nothing. At the end the server gets SIGTERM under
load.

Exit 1 if an answer is wrong or lost, a broken upload is not refused in order, or the server does not end with 0.
Linux; needs the extras `serve` and `load`.
"""

import argparse
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.processes import cpu_seconds
from benchmarks.serving_faults import broken_uploads, make_versions, version
from exporters.benchmark.machine import describe_machine
from exporters.client import Student
from exporters.images.suffixes import SUFFIXES

TARGET = 0.6
_PLAIN = 1 / 3  # of the requests, before anything else happens
_SLOW_CLIENTS = 4
_PATIENCE = 120.0


class Client:
    """Requests that are sent besides the load."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Any = None) -> tuple[int, bytes]:
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """One figure of /metrics, by its first letters."""
        lines = self.ask("GET", "/metrics")[1].decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def break_uploads(self, uploads: list[tuple[bytes, dict[str, str]]], count: int, found: Counter[str]) -> None:
        """Send this many broken uploads, and count the answers."""
        for number in range(count):
            body, headers = uploads[number % len(uploads)]
            try:
                status, answer = self.ask("POST", "/predict", body, headers)
                orderly = 400 <= status < 500 and list(json.loads(answer)) == ["error"]
                found[f"{status}" if orderly else f"not orderly: {status} {answer[:80]!r}"] += 1
            except (OSError, http.client.HTTPException) as error:
                found[f"not orderly: {type(error).__name__}: {error}"] += 1

    def be_slow(self, stop: threading.Event) -> None:
        """Send one byte a second of a request that never ends."""
        while not stop.is_set():
            with socket.create_connection(("127.0.0.1", self.port), _PATIENCE) as connection:
                connection.settimeout(0.01)
                try:
                    connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
                    while not stop.wait(1):
                        connection.sendall(b"x")
                except OSError:  # ended by the server, which is what it should do
                    continue


@contextmanager
def server(bundle: Path, arguments: list[str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], Client]]:
    """A server on a free port."""
    command = [sys.executable, "-m", "pipeline", "serve", str(bundle), "--port", "0", "--timeout", "10", *arguments]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream)
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"the server did not start:\n{log.read_text()}")
            lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
            if listening := [line for line in lines if line.get("event") == "listening"]:
                break
            time.sleep(0.1)
        yield process, Client(listening[0]["port"])
    finally:
        process.kill()
        process.wait()


def bare_loop(student: Student, images: list[bytes], seconds: float) -> float:
    """Images per CPU second of decoding and ONNX Runtime alone, one by one and in one thread."""
    count, started = 0, time.process_time()
    while time.process_time() - started < seconds:
        student.predict(images[count % len(images)])
        count += 1
    return count / (time.process_time() - started)


def measure(bundle: Path, images: list[Path], requests: int, connections: int, arguments: list[str]) -> dict[str, Any]:
    """Run the whole load test; gives the figures that are printed."""
    student = Student.load(bundle, threads=1)
    photos = [path.read_bytes() for path in images]
    predictions = [
        [{"label": label, "probability": probability} for label, probability in student.predict(photo)]
        for photo in photos
    ]
    bare = bare_loop(student, photos, 10.0)
    found: Counter[str] = Counter()
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        versions = make_versions(bundle, folder)
        served = Path(shutil.copytree(bundle, folder / "served"))
        log = folder / "log"
        spec = {
            "images": [str(path) for path in images],
            "expected": {version(versions[name]): predictions for name in ("first", "second")},
            "requests": requests,
            "connections": connections,
        }
        with server(served, arguments, log) as (process, client):
            spec["address"] = f"127.0.0.1:{client.port}"
            (folder / "spec.json").write_text(json.dumps(spec))
            load = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.serving_load", str(folder / "spec.json")], stdout=subprocess.PIPE
            )
            assert load.stdout is not None

            def reload(name: str, result: str) -> None:
                figure = f'tmkd_reloads_total{{result="{result}"}}'
                before = client.metric(figure)
                shutil.rmtree(served)
                shutil.copytree(versions[name], served)
                process.send_signal(signal.SIGHUP)
                end = time.monotonic() + _PATIENCE
                while client.metric(figure) == before:
                    assert time.monotonic() < end, f"{name} was not {result}"
                    time.sleep(0.1)

            def trouble() -> None:
                reload("second", "loaded")
                reload("bad", "refused")
                reload("first", "loaded")

            threads = [threading.Thread(target=client.be_slow, args=(stop,)) for _ in range(_SLOW_CLIENTS)]
            uploads = broken_uploads(photos[0])
            broken = max(len(uploads), requests // 60)
            threads.append(threading.Thread(target=client.break_uploads, args=(uploads, broken, found)))
            threads.append(threading.Thread(target=trouble))
            result: dict[str, Any] = {}
            begin: tuple[int, float] | None = None
            plain: dict[str, float] | None = None
            for line in load.stdout:
                result = json.loads(line)
                done = result["done"]
                if begin is None:
                    begin = done, cpu_seconds(process.pid)
                elif plain is None and done >= requests * _PLAIN:
                    cpu = cpu_seconds(process.pid) - begin[1]
                    plain = {"images": done - begin[0], "cpu_seconds": cpu}
                    for thread in threads:
                        thread.start()
                elif done >= requests and not stop.is_set() and not any(t.is_alive() for t in threads[_SLOW_CLIENTS:]):
                    stop.set()
                    images_per_batch = client.metric("tmkd_batch_images_sum") / client.metric("tmkd_batch_images_count")
                    process.send_signal(signal.SIGTERM)
            load.wait()
            code = process.wait(_PATIENCE)
            for thread in threads:
                thread.join()
            events = Counter(json.loads(line).get("event", "other") for line in log.read_text().splitlines())
    assert plain is not None
    served_rate = plain["images"] / plain["cpu_seconds"]
    return {
        "machine": describe_machine(),
        "connections": connections,
        "requests": result,
        "plain": plain,
        "images_per_cpu_second": {"bare": round(bare, 1), "server": round(served_rate, 1)},
        "ratio": round(served_rate / bare, 3),
        "images_per_batch": round(images_per_batch, 2),
        "broken_uploads": dict(found),
        "log_events": dict(events),
        "exit_code": code,
    }


def failures(result: dict[str, Any]) -> list[str]:
    """What must not be."""
    requests = result["requests"]
    found = [
        f"{requests[kind]} answers are {kind}: {requests['examples']}" for kind in ("wrong", "lost") if requests[kind]
    ]
    found += [
        f"{count} broken uploads: {kind}" for kind, count in result["broken_uploads"].items() if not kind.isdigit()
    ]
    if len(requests["versions"]) != 2:
        found.append(f"versions that answered: {requests['versions']}")
    if result["exit_code"] != 0:
        found.append(f"the server ended with {result['exit_code']}")
    return found


def to_markdown(result: dict[str, Any]) -> str:
    """The figures for people."""
    requests, rates = result["requests"], result["images_per_cpu_second"]
    return "\n".join(
        [
            f"{requests['done']:,} requests over {result['connections']} connections: {requests['wrong']} wrong,"
            f" {requests['lost']} lost, {requests['rounded']} with other last digits than `predict`",
            f"p50 {requests['p50']:.0f} ms, p99 {requests['p99']:.0f} ms, {result['images_per_batch']} images a batch",
            f"broken uploads by answer: {result['broken_uploads']}; versions: {requests['versions']};"
            f" exit {result['exit_code']} after SIGTERM",
            "",
            "| | images per CPU second | ratio |",
            "|---|---|---|",
            f"| bare loop | {rates['bare']:.1f} | 1 |",
            f"| server | {rates['server']:.1f} | {result['ratio']:.3f} (target {TARGET}) |",
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument(
        "--images", type=Path, help="a folder of JPEG files; default: synthetic ones of 500 x 375 pixels"
    )
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--serve", default="", help="further arguments of `serve`, with blanks between them")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.images
        if folder is None:
            from benchmarks.loading import draw_photographs

            folder = draw_photographs(Path(temporary), 100)
        images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES["JPEG"])
        if not images:
            raise SystemExit(f"{folder}: no JPEG files")
        result = measure(options.bundle, images, options.requests, options.connections, options.serve.split())
    print(json.dumps(result, indent=2) if options.json else to_markdown(result))
    if found := failures(result):
        raise SystemExit("\n".join(found))


if __name__ == "__main__":
    main()
