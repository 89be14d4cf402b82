import http.client
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from exporters.serving.model import LoadedBundle

from .app import App, run, with_logits
from .conftest import PATIENCE, photo, wait_for


def test_request_that_takes_too_long_gets_504(bundle: LoadedBundle) -> None:
    go = threading.Event()

    def waits(images: np.ndarray) -> np.ndarray:
        assert go.wait(60)
        return np.zeros((len(images), 7), np.float32)

    async def test(app: App) -> None:
        try:
            status, _, answer = await app.ask("POST", "/predict", photo())
        finally:
            go.set()
        assert (status, answer) == (504, {"error": "not computed within 0.5 s"})
        assert app.service.admission.images == 0

    run(with_logits(bundle, waits), test, timeout=0.5)


def test_service_says_whether_its_threads_have_ended(bundle: LoadedBundle) -> None:
    go = threading.Event()
    services = []

    def waits(images: np.ndarray) -> np.ndarray:
        assert go.wait(60)
        return np.zeros((len(images), 7), np.float32)

    async def test(app: App) -> None:
        services.append(app.service)
        await app.ask("POST", "/predict", photo())

    run(with_logits(bundle, waits), test, timeout=0.2, decoders=0)
    try:
        assert not services[0].threads_ended(0.01)
    finally:
        go.set()
    assert services[0].threads_ended(60)


def test_process_ends_while_a_thread_computes_for_ever(packed: Path, tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from exporters.serving.logs import json_logs
from exporters.serving.model import load_bundle
from exporters.serving.server import run_server
from exporters.serving.settings import ServeSettings

path = Path(sys.argv[1])
bundle = load_bundle(path, "fp32", "cpu")
bundle.student.logits = lambda images: time.sleep(10_000)
with json_logs("info"):
    run_server(ServeSettings(path, port=0, timeout=1, drain=0, decoders=0), bundle)
"""
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-c", program, str(packed)], stderr=stream)
    try:

        def lines() -> list[dict[str, object]]:
            assert process.poll() is None, log.read_text()
            return [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]

        wait_for(lambda: any(line.get("event") == "listening" for line in lines()))
        port = next(line["port"] for line in lines() if line.get("event") == "listening")
        connection = http.client.HTTPConnection("127.0.0.1", int(str(port)), timeout=PATIENCE)
        connection.request("POST", "/predict", photo())
        assert connection.getresponse().status == 504
        connection.close()
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert '"event": "abandoned"' in log.read_text()
    finally:
        process.kill()
