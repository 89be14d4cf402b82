"""Which weights are in the local caches, and which a server has."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from exporters.student.architectures.weights_cache import WeightsCache, can_be_fetched, hub_cache, torch_checkpoints

RESNET = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
HUB = "hub:timm/resnet18.a1_in1k"


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path


def put_in_hub(root: Path, name: str = "model.safetensors") -> Path:
    file = root / "hf" / "hub" / "models--timm--resnet18.a1_in1k" / "snapshots" / "abc" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    return file


def test_caches_that_do_not_exist_are_empty(caches: Path) -> None:
    cache = WeightsCache.look()
    assert RESNET not in cache and HUB not in cache and None not in cache


def test_weights_are_found_by_their_files(caches: Path) -> None:
    file = caches / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    put_in_hub(caches)
    cache = WeightsCache.look()
    assert RESNET in cache and HUB in cache and f"{HUB}@main" in cache
    assert "https://download.pytorch.org/models/resnet50-11ad3fa6.pth" not in cache and f"{HUB}x" not in cache


def test_repository_without_weights_or_with_a_dead_link_does_not_count(caches: Path) -> None:
    file = put_in_hub(caches, "config.json")
    assert HUB not in WeightsCache.look()
    (file.parent / "model.safetensors").symlink_to(caches / "gone")
    assert HUB not in WeightsCache.look()


def test_caches_are_where_the_libraries_look(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch, constants = pytest.importorskip("torch"), pytest.importorskip("huggingface_hub.constants")
    assert torch_checkpoints() == Path(torch.hub.get_dir()) / "checkpoints"
    for variable in ("TORCH_HOME", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    assert torch_checkpoints() == Path(torch.hub.get_dir()).expanduser() / "checkpoints"
    monkeypatch.setenv("XDG_CACHE_HOME", str(caches))
    assert torch_checkpoints() == Path(torch.hub.get_dir()) / "checkpoints"
    assert hub_cache() == caches / "huggingface" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(caches / "elsewhere"))
    assert hub_cache() == caches / "elsewhere"
    assert Path(constants.HF_HUB_CACHE).name == "hub"


class _Server(BaseHTTPRequestHandler):
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_HEAD(self) -> None:
        self.asked.append((self.command, self.path))
        self.send_response(200 if "resnet18" in self.path else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    served = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()
    thread.join()


def test_the_server_is_asked_for_the_file_and_not_for_its_content(
    caches: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    _Server.asked.clear()
    assert can_be_fetched(f"{server}/models/resnet18-f37072fd.pth") and can_be_fetched(HUB)
    assert not can_be_fetched(f"{server}/models/other.pth") and not can_be_fetched("hub:timm/other")
    assert _Server.asked[:2] == [
        ("HEAD", "/models/resnet18-f37072fd.pth"),
        ("HEAD", "/timm/resnet18.a1_in1k/resolve/main/model.safetensors"),
    ]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not can_be_fetched(HUB)


@pytest.mark.parametrize("weights", [None, "http://127.0.0.1:1/x.pth", "file:///etc/passwd", "nonsense"])
def test_what_cannot_be_asked_for_cannot_be_fetched(weights: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert not can_be_fetched(weights, seconds=1)
