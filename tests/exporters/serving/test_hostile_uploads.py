"""Images that would stop a server, and decoders that are stuck, through a server's socket."""

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.exporters.images.hostile import HOSTILE

from .conftest import Answer, Server, photo, serving, wait_for


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
