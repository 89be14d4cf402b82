"""Which published weights are on this machine, by the files of the two caches. Free of torch; asks no server."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlparse
from urllib.request import Request, urlopen

_HUB = "hub:"
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class WeightsCache:
    """What torch and the Hugging Face hub have fetched before.

    Attributes:
        files: names of files in torch's cache.
        repositories: of the hub, such as `timm/resnet18.a1_in1k`, that have a file of weights.
    """

    files: Collection[str]
    repositories: Collection[str]

    @classmethod
    def look(cls) -> "WeightsCache":
        """What is there now; a cache that does not exist or cannot be read is empty."""
        torch, hub = torch_checkpoints(), hub_cache()
        files = {path.name for path in _entries(torch) if path.is_file()}
        repositories = {
            "/".join(folder.name.removeprefix("models--").split("--"))
            for folder in _entries(hub)
            if folder.name.startswith("models--") and _has_weights(folder)
        }
        return cls(files, repositories)

    def __contains__(self, weights: str | None) -> bool:
        """Whether weights, as `exporters.student.architectures.facts` names them, are there."""
        if weights is None:
            return False
        if weights.startswith(_HUB):
            return weights.removeprefix(_HUB).partition("@")[0] in self.repositories
        return PurePosixPath(urlparse(weights).path).name in self.files


def torch_checkpoints() -> Path:
    """Where torch and timm keep files that they fetched by URL."""
    home = os.environ.get("TORCH_HOME")
    return (Path(home).expanduser() if home else _cache_home() / "torch") / "hub" / "checkpoints"


def hub_cache() -> Path:
    """Where the Hugging Face hub's files are kept."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(variable):
            return Path(folder).expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else _cache_home() / "huggingface") / "hub"


def can_be_fetched(weights: str | None, seconds: float = 5.0) -> bool:
    """Whether the server of some weights answers that it has them; asks for no content.

    Args:
        weights: as for `WeightsCache`.
        seconds: how long to wait for an answer.
    """
    if weights is None:
        return False
    try:
        if weights.startswith(_HUB):
            return not _hub_is_offline() and _answers(_hub_url(weights.removeprefix(_HUB)), seconds)
        return _answers(weights, seconds)
    except (OSError, ValueError):  # no network, no such server, a refusal, an odd address
        return False


def _hub_url(repository: str) -> str:
    repository, _, revision = repository.partition("@")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{endpoint}/{quote(repository)}/resolve/{quote(revision or 'main')}/model.safetensors"


def _hub_is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _answers(url: str, seconds: float) -> bool:
    if urlparse(url).scheme not in ("http", "https"):
        return False
    with urlopen(Request(url, method="HEAD"), timeout=seconds) as response:  # noqa: S310
        return 200 <= int(response.status) < 300


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _has_weights(repository: Path) -> bool:
    """Whether a snapshot has a file of weights; a link to content that is gone is none."""
    return any(
        path.suffix in _SUFFIXES and path.is_file()
        for snapshot in _entries(repository / "snapshots")
        for path in _entries(snapshot)
    )
