"""Ordinary requests with known answers: those of the client for image files, and the golden vectors of the bundle."""

import http.client
import io
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from exporters.bundle.manifest import GOLDEN_INPUTS, GOLDEN_OUTPUTS, read_manifest
from exporters.client import Student
from exporters.core.arrays import read_npz

_ROUNDING = 1e-5  # of probabilities: in another batch, some processors round the last digits another way
_SHARES = {"predict": 12, "form": 4, "infer": 2, "infer_json": 1, "house": 1}
_PATIENCE = 120.0


@dataclass(frozen=True)
class Request:
    """A request, and what is wrong with its answer: an empty text if nothing is."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]
    problem: Callable[[bytes], str]


@dataclass
class Tally:
    """What became of the requests of all connections."""

    done: Counter[str] = field(default_factory=Counter)
    turned_away: int = 0
    """Answers of 503 and 429 with `Retry-After`, after which the request was sent again."""
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def photo(seed: int, kind: str, **options: Any) -> bytes:
    """An image file with smooth colours, of 80 to 640 pixels a side."""
    generator = np.random.default_rng(seed)
    width, height = generator.integers(80, 641, 2)
    coarse = Image.fromarray(generator.integers(0, 256, (7, 9, 3), np.uint8))
    encoded = io.BytesIO()
    coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC).save(encoded, kind, **options)
    return encoded.getvalue()


def photos() -> list[bytes]:
    """Image files of the kinds that clients send."""
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "quality": 90}),
        ("JPEG", {"subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {}),
    ]
    return [photo(seed, *kinds[seed % len(kinds)][:1], **kinds[seed % len(kinds)][1]) for seed in range(50)]


def make_requests(bundle: Path) -> dict[str, list[Request]]:
    """All requests, by kind."""
    student, manifest = Student.load(bundle, threads=1), read_manifest(bundle)
    files = photos()
    answers = [student.predict(data) for data in files]
    images = read_npz(GOLDEN_INPUTS, (bundle / GOLDEN_INPUTS).read_bytes(), "image")
    logits = read_npz(GOLDEN_OUTPUTS, (bundle / GOLDEN_OUTPUTS).read_bytes(), "logits")
    tolerance = float(manifest["models"]["model.onnx"]["golden_tolerance"] * np.abs(logits).max())
    infer = f"/v2/models/{manifest['name']}/infer"
    found: dict[str, list[Request]] = {kind: [] for kind in _SHARES}
    for data, answer in zip(files, answers, strict=True):
        check = _predictions(dict(answer))
        found["predict"].append(Request("POST", "/predict", data, {"Content-Type": "image/jpeg"}, check))
        head = b'--soak\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        kind = {"Content-Type": "multipart/form-data; boundary=soak"}
        found["form"].append(Request("POST", "/predict", head + data + b"\r\n--soak--\r\n", kind, check))
    for number in range(len(images)):
        one = slice(number, number + 1)
        shape = list(images[one].shape)
        tensor: dict[str, Any] = {"name": "image", "datatype": "UINT8", "shape": shape}
        head = json.dumps(
            {
                "inputs": [{**tensor, "parameters": {"binary_data_size": images[one].nbytes}}],
                "parameters": {"binary_data_output": True},
            }
        ).encode()
        binary = {"Inference-Header-Content-Length": str(len(head))}
        wanted = logits[one]
        found["infer"].append(
            Request("POST", infer, head + images[one].tobytes(), binary, _logits(wanted, tolerance, binary=True))
        )
        body = json.dumps({"inputs": [{**tensor, "data": images[one].tolist()}]}).encode()
        found["infer_json"].append(Request("POST", infer, body, {}, _logits(wanted, tolerance, binary=False)))
    for path, part in (
        ("/v2", b'"name"'),
        (f"/v2/models/{manifest['name']}", b'"inputs"'),
        ("/v2/health/live", b'{"live":true}'),
        ("/metrics", b"tmkd_requests_total"),
        ("/openapi.json", b'"openapi"'),
    ):
        found["house"].append(Request("GET", path, b"", {}, _contains(part)))
    return found


def _predictions(expected: dict[str, float]) -> Callable[[bytes], str]:
    def problem(body: bytes) -> str:
        told = {entry["label"]: entry["probability"] for entry in json.loads(body)["predictions"]}
        if all(abs(told.get(label, 2.0) - value) <= _ROUNDING for label, value in expected.items()):
            return ""
        return f"{told} instead of {expected}"

    return problem


def _logits(expected: np.ndarray, tolerance: float, *, binary: bool) -> Callable[[bytes], str]:
    def problem(body: bytes) -> str:
        if binary:
            values = np.frombuffer(body[-expected.nbytes :], np.float32)
        else:
            values = np.array(json.loads(body)["outputs"][0]["data"], np.float32)
        error = float(np.abs(values.reshape(expected.shape) - expected).max())
        return "" if error <= tolerance else f"logits are {error:g} from the golden ones"

    return problem


def _contains(part: bytes) -> Callable[[bytes], str]:
    return lambda body: "" if part in body else f"no {part!r} in {body[:200]!r}"


class Connection(threading.Thread):
    """A client that sends one request after the other, until the server no longer listens.

    Args:
        address: of the server.
        requests: by kind.
        tally: shared by all connections.
        seed: of the order of the requests.
    """

    def __init__(self, address: tuple[str, int], requests: dict[str, list[Request]], tally: Tally, seed: int) -> None:
        super().__init__(daemon=True)
        self._address = address
        self._requests = requests
        self._tally = tally
        self._random = random.Random(seed)
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Send until nobody listens."""
        while True:
            kind = self._random.choices(list(_SHARES), list(_SHARES.values()))[0]
            request = self._random.choice(self._requests[kind])
            try:
                started = time.monotonic()
                status, body = self._ask(request)
            except ConnectionRefusedError:
                return  # nothing was sent
            except (OSError, http.client.HTTPException) as error:
                self._tally.lost.append(f"{request.method} {request.path}: {type(error).__name__}: {error}")
                self._connection = None
                continue
            problem = request.problem(body) if status == 200 else f"{status} {body[:200]!r}"
            if problem:
                self._tally.wrong.append(f"{request.method} {request.path}: {problem}")
            self._tally.done[kind] += 1
            self._tally.seconds.append(time.monotonic() - started)

    def _ask(self, request: Request) -> tuple[int, bytes]:
        while True:
            connection = self._connection
            if connection is None:
                connection = http.client.HTTPConnection(*self._address, timeout=_PATIENCE)
                connection.connect()
                self._connection = connection
            connection.request(request.method, request.path, request.body, request.headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.will_close:
                connection.close()
                self._connection = None
            if answer.status not in (429, 503) or answer.headers["Retry-After"] is None:
                return answer.status, body
            self._tally.turned_away += 1
            time.sleep(float(answer.headers["Retry-After"]))
