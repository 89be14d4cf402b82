"""Servers as real processes, on free ports."""

import dataclasses
import http.client
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from exporters.bundle.contents import BundleContents
from exporters.bundle.pack import pack
from exporters.serving.model import LoadedBundle, load_bundle

KEY = "a-key-that-nobody-guesses"
PATIENCE = 150.0
"""Seconds until a test gives up; nothing depends on how long anything takes."""


@dataclasses.dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of an answer that is an error, in the one shape that errors have."""
        assert self.status >= 400 and self.headers["content-type"] == "application/json"
        assert list(self.json) == ["error"]
        return str(self.json["error"])


@dataclasses.dataclass
class Server:
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    key: str | None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {**self.headers, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def metric(self, name: str, /, **labels: str) -> float:
        text = self.ask("GET", "/metrics").body.decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def lines(self) -> list[dict[str, Any]]:
        """All that are complete."""
        return [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def wait_for(what: Callable[[], Any]) -> Any:
    """Ask again and again until the answer is true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


@contextmanager
def serving(
    bundle: Path, log: Path, *arguments: str, key: str | None = None, environment: dict[str, str] | None = None
) -> Iterator[Server]:
    """A server on a free port, which ends with the block by SIGTERM and exit 0."""
    command = [sys.executable, "-m", "pipeline", "serve", str(bundle), "--port", "0", "--drain-seconds", "0"]
    with log.open("wb") as stream:
        process = subprocess.Popen([*command, *arguments], stderr=stream, env={**os.environ, **(environment or {})})
    try:

        def listening() -> int | None:
            assert process.poll() is None, log.read_text()
            lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
            return next((line["port"] for line in lines if line.get("event") == "listening"), None)

        server = Server(process, wait_for(listening), log, key)
        yield server
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def server(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Limits as by default; the key comes from the environment."""
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(packed, log, key=KEY, environment={"TMKD_API_KEY": KEY}) as started:
        yield started


@pytest.fixture(scope="session")
def later(contents: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another version of the bundle that `packed` is."""
    folder = tmp_path_factory.mktemp("later") / "bundle"
    facts = dataclasses.replace(contents.facts, recipe_sha256="ef" * 32)
    pack(dataclasses.replace(contents, facts=facts), folder)
    return folder


def exchange(bundle: Path, new: Path) -> None:
    """Put a copy of `new` where `bundle` is."""
    shutil.rmtree(bundle)
    shutil.copytree(new, bundle)


def same(found: list[dict[str, Any]], expected: list[tuple[str, float]]) -> bool:
    """Are these the same labels and probabilities? In a batch, some processors round the last digits another way."""
    probabilities = {prediction["label"]: prediction["probability"] for prediction in found}
    return list(probabilities) == [label for label, _ in expected] and list(probabilities.values()) == pytest.approx(
        [probability for _, probability in expected], abs=1e-5
    )


def photo(seed: int = 0, width: int = 60, height: int = 41, kind: str = "JPEG") -> bytes:
    """An image file with smooth colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(encoded, kind)
    return encoded.getvalue()


def form(data: bytes, name: str = "file", filename: str = "photo.jpg") -> tuple[bytes, dict[str, str]]:
    """Body and headers of a form with one file."""
    head = f'--limit\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'.encode()
    return head + data + b"\r\n--limit--\r\n", {"Content-Type": "multipart/form-data; boundary=limit"}


@pytest.fixture(scope="module")
def bundle(packed: Path) -> LoadedBundle:
    return load_bundle(packed, "fp32", "cpu")
