"""Images that would stop a server, and decoders that are stuck, through a server's socket."""

import http.client
import os
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.processes import own_bytes
from exporters.client import Student
from exporters.images.decoding import UnreadableImageError, open_rgb
from tests.exporters.images.hostile import HOSTILE
from tests.exporters.images.mutations import EXAMPLES, FIRST, broken_image

from .conftest import PATIENCE, Answer, Server, form, photo, same, serving, wait_for

MEGABYTE = 1_000_000


def decoders(server: Server) -> list[int]:
    """The processes that the server started."""
    pid = server.process.pid
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_uploads_are_refused_and_others_are_answered(server: Server, name: str) -> None:
    data = HOSTILE[name]()
    assert len(data) < 16 * 2**20
    before = decoders(server)
    answer = server.ask("POST", "/predict", data)
    assert answer.status == 422 and answer.error.startswith("the upload: the image cannot be read: ")
    assert server.ask("POST", "/predict", photo()).status == 200
    assert decoders(server) == before


def test_stuck_decoder_is_replaced_and_none_outlives_the_server(packed: Path, tmp_path: Path) -> None:
    answers: list[Answer] = []

    def ask() -> threading.Thread:
        thread = threading.Thread(target=lambda: answers.append(server.ask("POST", "/predict", photo())))
        thread.start()
        return thread

    def ready() -> bool:
        return server.ask("GET", "/v2/health/ready").status == 200

    with serving(packed, tmp_path / "log", "--decoders", "1", "--decode-seconds", "4") as server:
        (stuck,) = decoders(server)
        os.kill(stuck, signal.SIGSTOP)
        thread = ask()
        wait_for(lambda: not ready())
        assert server.ask("GET", "/v2/health/live").status == 200
        thread.join()
        assert (answers[0].status, answers[0].error) == (422, "the image was not decoded within 4 s")
        wait_for(ready)
        assert server.ask("POST", "/predict", photo()).status == 200
        assert server.metric("tmkd_decoders_lost_total", reason="time") == 1
        (stuck,) = decoders(server)
        os.kill(stuck, signal.SIGSTOP)
        thread = ask()
        wait_for(lambda: server.metric("tmkd_queue_images") == 1)
    thread.join()  # SIGTERM came; the server answered and ended with 0
    assert answers[1].status == 422
    assert not Path(f"/proc/{stuck}").exists()


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.hypothesis
def test_broken_images_are_answered_as_the_client_reads_them_in_bounded_memory(packed: Path, tmp_path: Path) -> None:
    """To one server, over one connection, as a body, as a form and in chunks; whole images among them."""
    student = Student.load(packed, threads=1)
    whole = photo()
    counts: Counter[int] = Counter()

    def send(data: bytes, way: int) -> Answer:
        body, headers = form(data) if way == 1 else (data, {})
        pieces = [body[place : place + 100] for place in range(0, len(body), 100)]
        connection.request("POST", "/predict", iter(pieces) if way == 2 else body, headers, encode_chunked=way == 2)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    with serving(packed, tmp_path / "log", "--threads", "1", "--max-pixels", str(MEGABYTE)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        started = decoders(server)
        for number in range(EXAMPLES):
            if number == min(200, EXAMPLES // 2):  # until then, libraries are loaded and caches filled
                settled = own_bytes(server.process.pid)
            seed = FIRST + number
            data = broken_image(seed)
            answer = send(data, number % 3)
            counts[answer.status] += 1
            try:
                image = open_rgb(data, "the upload", MEGABYTE)
            except UnreadableImageError as error:
                assert (answer.status, answer.error) == (422, error.message), seed
            else:
                assert answer.status == 200, seed
                assert same(answer.json["predictions"], student.predict(image)), seed
            if number % 20 == 0:
                assert same(send(whole, number % 3).json["predictions"], student.predict(whole)), seed
        connection.close()
        assert decoders(server) == started
        assert server.ask("GET", "/v2/health/ready").status == 200
        assert not [line for line in server.lines() if line["level"] in ("warning", "error")]
        growth = own_bytes(server.process.pid) - settled
        peaks = [peak_bytes(pid) for pid in (server.process.pid, *started)]
        print(f"{dict(counts)}, grown by {growth:,} bytes from {settled:,}, peaks {peaks}")
        assert growth < 16 * MEGABYTE
        assert max(peaks) < 400 * MEGABYTE
    assert set(counts) <= {200, 422}
