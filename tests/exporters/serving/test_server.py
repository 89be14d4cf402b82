"""The server as a process, through its socket."""

import contextlib
import http.client
import json
import shutil
import signal
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from exporters.bundle.manifest import SEAL
from exporters.client import Student
from tests.exporters.conftest import LABELS, Exported

from .conftest import KEY, PATIENCE, Answer, Server, exchange, form, photo, same, serving, wait_for
from .test_model import spoil_golden


@pytest.fixture(scope="module")
def student(packed: Path) -> Student:
    return Student.load(packed, threads=1)


def expected(student: Student, data: bytes, top: int = 5) -> list[dict[str, Any]]:
    return [{"label": label, "probability": probability} for label, probability in student.predict(data, top)]


def version(bundle: Path) -> str:
    return (bundle / SEAL).read_text()[:12]


class TestPredict:
    def test_answers_are_those_of_the_client(self, server: Server, student: Student, packed: Path) -> None:
        for seed, kind in enumerate(["JPEG", "PNG", "WEBP"]):
            data = photo(seed, kind=kind)
            body, headers = form(data, filename="../../../etc/passwd\\..\\x")
            for answer in (server.ask("POST", "/predict", data), server.ask("POST", "/predict", body, headers)):
                assert answer.status == 200
                assert answer.json == {
                    "model_name": "finches",
                    "model_version": version(packed),
                    "predictions": expected(student, data),
                }
        assert "passwd" not in server.log.read_text()

    def test_top_limits_the_number_of_predictions(self, server: Server, student: Student) -> None:
        data = photo(3)
        for top in (1, 7, 1000):
            answer = server.ask("POST", f"/predict?top={top}", data)
            assert answer.json["predictions"] == expected(student, data, top)
        for top in ("0", "x", "-1", "9" * 30):
            assert "top" in server.ask("POST", f"/predict?top={top}", data).error

    def test_concurrent_requests_get_their_own_answers(self, server: Server, student: Student) -> None:
        photos = [photo(seed, 50 + seed, 90 - seed) for seed in range(32)]
        answers: dict[int, Answer] = {}

        def ask(index: int) -> None:
            answers[index] = server.ask("POST", "/predict", photos[index])

        threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(photos))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for index, data in enumerate(photos):
            assert same(answers[index].json["predictions"], student.predict(data))
        assert server.metric("tmkd_queue_images") == 0

    @pytest.mark.parametrize(
        ("body", "headers", "status"),
        [
            (photo()[:-200], {}, 422),
            (photo(kind="PNG")[:-30], {}, 422),
            (b"", {}, 422),
            (bytes(range(256)) * 9, {"Content-Type": "image/jpeg"}, 422),
            (b"<html></html>", {"Content-Type": "text/html"}, 422),
            (b"%PDF-1.7\n", {"Content-Type": "application/pdf"}, 422),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", {}, 422),
            (*form(b"GIF89a"), 422),
            (form(photo())[0][:-9], form(b"")[1], 400),
            (*form(photo(), name="image"), 400),
            (photo(), {"Content-Type": "multipart/form-data"}, 400),
            (photo(), {"Content-Encoding": "gzip"}, 415),
        ],
    )
    def test_broken_uploads_are_refused(
        self, server: Server, body: bytes, headers: dict[str, str], status: int
    ) -> None:
        answer = server.ask("POST", "/predict", body, headers)
        assert (answer.status, bool(answer.error)) == (status, True)

    def test_a_bomb_is_not_decoded(self, server: Server) -> None:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        for side in (5_001, 10_000, 30_000):
            pixels = zlib.compress(bytes((side // 8 + 1) * side), 9)
            header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
            bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
            answer = server.ask("POST", "/predict", bomb)
            assert answer.status == 422
            assert "pixels" in answer.error

    def test_oversized_body_is_refused_and_the_connection_kept(self, server: Server) -> None:
        """Refused by its Content-Length; the rest is discarded, and the connection stays usable."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        for body, status in ((bytes(50_000_000), 413), (photo(), 200)):
            connection.request("POST", "/predict", body, server.headers)
            answer = connection.getresponse()
            assert answer.status == status
            answer.read()
        connection.request("POST", "/predict", iter([bytes(1_000_000)] * 17), server.headers, encode_chunked=True)
        assert connection.getresponse().status == 413
        connection.close()


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(server.address) as client:
        yield client


class TestProtocol:
    """With the client of the field."""

    def test_metadata_endpoints_describe_server_and_model(self, client: Any, server: Server, packed: Path) -> None:
        headers = server.headers
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("finches", headers=headers)
        assert client.is_model_ready("finches", version(packed), headers=headers)
        assert not client.is_model_ready("gulls", headers=headers)
        assert not client.is_model_ready("finches", "1", headers=headers)
        metadata = client.get_server_metadata(headers=headers)
        assert metadata["extensions"] == ["binary_tensor_data", "model_repository"]
        for wanted in ("", version(packed)):
            assert client.get_model_metadata("finches", wanted, headers=headers) == {
                "name": "finches",
                "versions": [version(packed)],
                "platform": "onnxruntime_onnx",
                "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 32, 32, 3]}],
                "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, len(LABELS)]}],
            }
        assert client.get_model_repository_index(headers=headers) == [
            {"name": "finches", "version": version(packed), "state": "READY"}
        ]

    @pytest.mark.parametrize("binary_in", [True, False])
    @pytest.mark.parametrize("binary_out", [True, False, None])
    def test_infer_returns_the_logits_of_the_student(
        self, client: Any, server: Server, student: Student, cifar: Exported, binary_in: bool, binary_out: bool | None
    ) -> None:
        for images in (cifar.images[:1], cifar.images):  # more than a batch holds
            tensor = triton.InferInput("image", list(images.shape), "UINT8")
            tensor.set_data_from_numpy(images, binary_data=binary_in)
            outputs = None if binary_out is None else [triton.InferRequestedOutput("logits", binary_data=binary_out)]
            answer = client.infer("finches", [tensor], outputs=outputs, request_id="seven", headers=server.headers)
            np.testing.assert_allclose(answer.as_numpy("logits"), student.logits(images), atol=1e-5)
            response = answer.get_response()
            assert (response["id"], response["model_version"]) == ("seven", student_version(client, server))

    def test_invalid_inference_requests_are_refused(self, client: Any, server: Server, cifar: Exported) -> None:
        def infer(model: str = "finches", name: str = "image", side: int = 32, **options: Any) -> Any:
            tensor = triton.InferInput(name, [1, side, side, 3], "UINT8")
            tensor.set_data_from_numpy(np.zeros((1, side, side, 3), np.uint8))
            return client.infer(model, [tensor], headers=server.headers, **options)

        outputs = [triton.InferRequestedOutput("logits", class_count=3)]
        for message, options in (
            ("no model 'gulls'", {"model": "gulls"}),
            ("no version '1'", {"model_version": "1"}),
            ("no input 'picture'", {"name": "picture"}),
            ("shape", {"side": 31}),
            ("classification", {"outputs": outputs}),
            ("compressed", {"request_compression_algorithm": "gzip"}),
        ):
            with pytest.raises(InferenceServerException, match=message):
                infer(**options)
        answer = server.ask("POST", "/v2/models/finches/infer", b"{}", {"Inference-Header-Content-Length": "x"})
        assert "Inference-Header" in answer.error


def student_version(client: Any, server: Server) -> str:
    return str(client.get_model_metadata("finches", headers=server.headers)["versions"][0])


class TestHouse:
    def test_errors_have_one_shape(self, server: Server) -> None:
        for method, path, status in (
            ("GET", "/index.html", 404),
            ("GET", "/docs", 404),
            ("GET", "/predict", 405),
            ("PUT", "/v2/models/finches/infer", 405),
            ("GET", "/v2/models/gulls", 404),
            ("GET", "/v2/models/" + "g" * 20_000, 404),
            ("GET", "/v2/models/%2e%2e%2fetc", 404),
        ):
            answer = server.ask(method, path)
            assert answer.status == status
            assert len(answer.error) < 300
        assert server.ask("GET", "/predict").headers["allow"] == "OPTIONS, POST"

    @pytest.mark.parametrize(
        "path", ["/v2/health/live", "/v2/health/ready", "/v2", "/v2/models/finches", "/metrics", "/openapi.json"]
    )
    def test_head_answers_as_get_without_a_body(self, server: Server, path: str) -> None:
        head, get = server.ask("HEAD", path), server.ask("GET", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        if path != "/metrics":  # whose figures change
            assert head.headers["content-length"] == str(len(get.body))
        options = server.ask("OPTIONS", path)
        assert (options.status, options.headers["allow"], options.body) == (204, "GET, HEAD, OPTIONS", b"")

    def test_post_only_path_refuses_head_and_names_its_methods(self, server: Server) -> None:
        head, options = server.ask("HEAD", "/predict"), server.ask("OPTIONS", "/predict")
        assert (head.status, head.headers["allow"], head.body) == (405, "OPTIONS, POST", b"")
        assert (options.status, options.headers["allow"]) == (204, "OPTIONS, POST")
        assert server.ask("HEAD", "/nowhere").status == server.ask("OPTIONS", "/nowhere").status == 404
        assert server.ask("DELETE", "/v2/health/live").headers["allow"] == "GET, HEAD, OPTIONS"

    def test_probes_need_no_key_whatever_the_method(self, server: Server) -> None:
        without = Server(server.process, server.port, server.log, None)
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert without.ask("HEAD", path).status == 200
        assert without.ask("HEAD", "/v2").status == without.ask("OPTIONS", "/v2").status == 401

    def test_every_path_but_health_needs_the_key(self, server: Server) -> None:
        without = Server(server.process, server.port, server.log, None)
        for path in (
            "/predict",
            "/metrics",
            "/openapi.json",
            "/v2",
            "/v2/models/finches",
            "/v2/repository/index",
            "/x",
        ):
            answer = without.ask("GET", path)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "key" in answer.error
        assert without.ask("GET", "/v2", headers={"Authorization": "Bearer x" + KEY}).status == 401
        assert without.ask("GET", "/v2", headers={"X-API-Key": KEY}).status == 200
        assert [without.ask("GET", f"/v2/health/{what}").json for what in ("live", "ready")] == [
            {"live": True},
            {"ready": True},
        ]
        assert KEY not in server.log.read_text()

    def test_metrics_count_requests_and_images(self, server: Server, packed: Path) -> None:
        before = server.metric("tmkd_requests_total", route="/predict", status="200")
        images = server.metric("tmkd_batch_images_sum")
        server.ask("POST", "/predict", photo())
        assert server.metric("tmkd_requests_total", route="/predict", status="200") == before + 1
        assert server.metric("tmkd_batch_images_sum") == images + 1
        assert server.metric("tmkd_model", name="finches", version=version(packed), precision="fp32") == 1
        assert server.metric("process_cpu_seconds_total") > 0
        server.ask("GET", "/one"), server.ask("GET", "/two")
        assert server.metric("tmkd_requests_total", route="other") >= 2  # paths of clients are no series

    def test_requests_are_logged_under_their_id(self, server: Server) -> None:
        server.ask("GET", "/v2/%0a%22x", headers={"X-Request-ID": "mine-7"})
        answer = server.ask("GET", "/v2", headers={"X-Request-ID": "no\tid"})

        def line_of(request: str) -> dict[str, Any]:  # written once the answer was sent
            return dict(wait_for(lambda: [line for line in server.lines() if line.get("request") == request])[0])

        assert (line_of("mine-7")["path"], line_of("mine-7")["status"]) == ('/v2/\n"x', 404)
        assert line_of(answer.headers["x-request-id"])["path"] == "/v2"
        assert not [line for line in server.lines() if line["level"] in ("warning", "error")]

    def test_server_listens_on_loopback_alone(self, server: Server) -> None:
        listening = next(line for line in server.lines() if line.get("event") == "listening")
        assert (listening["host"], listening["port"], listening["api_key"]) == ("127.0.0.1", server.port, True)
        with pytest.raises(ConnectionRefusedError):  # 0.0.0.0 would answer here
            socket.create_connection(("127.0.0.2", server.port), PATIENCE)


@pytest.fixture(scope="module")
def strict(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """Five seconds for everything, few connections, and a bundle that may be exchanged."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "key").write_text(KEY)
    bundle = Path(shutil.copytree(packed, folder / "bundle"))
    limits = ("--timeout", "5", "--max-connections", "20", "--admin-port", "0")
    arguments = (*limits, "--api-key-file", str(folder / "key"))
    with serving(bundle, folder / "log", *arguments, key=KEY) as server:
        yield server, bundle


def administration(server: Server) -> Server:
    """The port of the server for administration."""
    port = next(line["admin_port"] for line in server.lines() if line.get("event") == "listening")
    return Server(server.process, port, server.log, server.key)


def talk(server: Server, data: bytes) -> bytes:
    """Send this, and read until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


class TestBounds:
    def test_slow_clients_are_disconnected_without_delaying_others(self, strict: tuple[Server, Path]) -> None:
        server, _ = strict
        auth = f"Authorization: Bearer {KEY}\r\n"
        said = {
            b"": b"",
            b"GET /v2 HTT": b"408 ",
            b"GET /v2 HTTP/1.1\r\nHost: x\r\n": b"408 ",
            f"POST /predict HTTP/1.1\r\nHost: x\r\n{auth}Content-Length: 99\r\n\r\nslow".encode(): b"408 ",
            # Refused at once, and then the rest never comes.
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nslow": b"401 ",
        }
        found: dict[bytes, bytes] = {}
        threads = [threading.Thread(target=lambda data=data: found.update({data: talk(server, data)})) for data in said]
        for thread in threads:
            thread.start()
        assert server.ask("POST", "/predict", photo()).status == 200
        for thread in threads:
            thread.join()
        for data, status in said.items():
            assert found[data].startswith(b"HTTP/1.1 " + status if status else b"")
            if status:
                assert list(json.loads(found[data].partition(b"\r\n\r\n")[2])) == ["error"]
            else:
                assert found[data] == b""

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
            (b"hello\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
            (b"GET /" + b"x" * 200_000, 431),
            (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 40_000, 431),
            (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        ],
    )
    def test_malformed_requests_get_a_json_error(self, strict: tuple[Server, Path], data: bytes, status: int) -> None:
        head, _, body = talk(strict[0], data).partition(b"\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert list(json.loads(body)) == ["error"]

    def test_silent_connections_do_not_lock_out_probes(self, strict: tuple[Server, Path]) -> None:
        """On the port of everyone by the reserve or in their place, on that of administration always."""
        server, _ = strict
        idle = [socket.create_connection(("127.0.0.1", server.port), PATIENCE) for _ in range(20)]
        try:
            for path in ("/v2/health/live", "/v2/health/ready"):
                assert server.ask("GET", path).status == administration(server).ask("GET", path).status == 200
            assert administration(server).metric("tmkd_connections") >= 19
            wait_for(lambda: server.ask("GET", "/v2").status == 200)  # one that asks nothing has made room
        finally:
            for connection in idle:
                connection.close()
        wait_for(lambda: server.ask("GET", "/v2").status == 200)

    def test_port_of_administration_answers_nothing_else(self, strict: tuple[Server, Path]) -> None:
        admin = administration(strict[0])
        for path in ("/v2", "/predict", "/openapi.json", "/v2/models/finches", "/v2/repository/index"):
            answer = admin.ask("GET", path)
            assert answer.status == 404 and answer.error == "this port answers probes, metrics and drift alone"
        without = Server(admin.process, admin.port, admin.log, None)
        assert [without.ask("GET", path).status for path in ("/v2/health/live", "/metrics", "/drift")] == [
            200,
            401,
            401,
        ]
        assert admin.ask("GET", "/drift").status == 404  # of a bundle without histograms

    def test_endless_trailers_are_refused_and_take_no_memory(self, strict: tuple[Server, Path]) -> None:
        """Attacked before: 50 MB of them held 1.1 GB, and probes waited for 6 s."""
        server, _ = strict
        before = server.metric("process_resident_memory_bytes")
        head = b"POST /v2/health/live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            connection.sendall(head)
            with contextlib.suppress(ConnectionError):
                for _ in range(500):
                    connection.sendall(b"a: b\r\n" * 17_000)
            assert server.ask("GET", "/v2/health/live").status == 200
        assert server.metric("process_resident_memory_bytes") - before < 20_000_000


class TestReload:
    def test_reload_takes_good_bundles_and_refuses_bad_ones(
        self, strict: tuple[Server, Path], packed: Path, later: Path, cifar: Exported, student: Student
    ) -> None:
        server, bundle = strict
        data = photo(5)

        def answers(wanted: Path) -> None:
            answer = server.ask("POST", "/predict", data).json
            assert answer["model_version"] == version(wanted)
            assert answer["predictions"] == expected(student, data)

        def load(name: str = "finches") -> Answer:
            return server.ask("POST", f"/v2/repository/models/{name}/load")

        answers(packed)
        exchange(bundle, later)
        answers(packed)  # nothing happens by itself
        assert load().json == {"name": "finches", "version": version(later)}
        answers(later)
        assert server.ask("GET", f"/v2/models/finches/versions/{version(packed)}").status == 404

        exchange(bundle, packed)
        spoil_golden(bundle, cifar)
        refused = load()
        assert refused.status == 409
        assert "golden" in refused.error
        answers(later)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.metric("tmkd_reloads_total", result="refused") == 2)
        shutil.rmtree(bundle)
        assert load().status == 409
        answers(later)
        assert load("gulls").status == 404

        shutil.copytree(packed, bundle)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.metric("tmkd_reloads_total", result="loaded") == 3)
        answers(packed)
        assert server.metric("tmkd_model") == 1
        messages = [line["message"] for line in server.lines() if line.get("event") == "reload"]
        assert [message.split()[0] for message in messages] == ["reloaded:", "reload", "reload", "reload", "reloaded:"]


def fill_queue(server: Server, answers: list[Answer]) -> tuple[list[threading.Thread], Answer]:
    """Ask twice, and once more as soon as both wait; gives the threads of the two and the third answer."""
    threads = [
        threading.Thread(target=lambda: answers.append(server.ask("POST", "/predict", photo()))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    wait_for(lambda: server.metric("tmkd_queue_images") == 2 or not any(thread.is_alive() for thread in threads))
    return threads, server.ask("POST", "/predict", photo())


def test_full_queue_refuses_and_shutdown_answers_waiting_requests(
    packed: Path, student: Student, tmp_path: Path
) -> None:
    """Two images wait for a batch: the third is refused, and after SIGTERM both are answered."""
    arguments = ("--queue", "2", "--max-delay-ms", "1000", "--drain-seconds", "0.2")
    with serving(packed, tmp_path / "log", *arguments) as server:
        assert server.ask("GET", "/openapi.json").status == 200
        assert server.ask("POST", "/v2/repository/index").status == 404  # without a key, nobody administers
        image = student.prepare(photo())
        tensor = {"name": "image", "datatype": "UINT8", "shape": [3, *image.shape], "data": [image.tolist()] * 3}
        many = server.ask("POST", "/v2/models/finches/infer", json.dumps({"inputs": [tensor]}).encode())
        assert (many.status, "2 images" in many.error) == (413, True)

        answers: list[Answer] = []
        threads, refused = fill_queue(server, answers)
        while refused.status != 503:  # this machine was busy for a second
            for thread in threads:
                thread.join()
            threads, refused = fill_queue(server, answers)
        assert refused.headers["retry-after"] == "1"
        assert refused.error == "the queue is full"
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: any(line.get("event") == "draining" for line in server.lines()))
        for thread in threads:
            thread.join()
        assert server.process.wait(PATIENCE) == 0
        assert all(same(answer.json["predictions"], student.predict(photo())) for answer in answers)
        assert server.lines()[-1]["event"] == "stopped"
