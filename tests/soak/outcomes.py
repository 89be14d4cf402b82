"""What a command has left in a folder, without what tells time, so that two runs can be compared bit for bit."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

TIMES = frozenset(
    {
        "time",
        "seconds",
        "seconds_per_epoch",
        "images_per_second",
        "calls",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "round_p50_ms",
        "speed",
        "rounds",
    }
)
"""Keys of JSON files that tell time."""

MEASURED = ("bundle/benchmark.json", "bundle/manifest.json", "bundle/manifest.sha256", "bundle.tar")
"""Files that hold such figures, or the hash of one: what is recorded of their size and hash says nothing."""

_PAGE = frozenset({"report.html", "report"})

Outcome = dict[str, Any]


def outcome_of(folder: Path) -> Outcome:
    """Every file by its path → its sha256, or the parsed content of one that tells time.

    Caches and locks are left out, and so are tables and pages that are drawn from files of JSON.
    """
    found: Outcome = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        drawn = path.suffix in (".md", ".png") and path.with_suffix(".json").is_file()
        left_out = "cache" in name.parts or path.name.endswith(".lock") or drawn or not _PAGE.isdisjoint(name.parts)
        if path.is_dir() or left_out:
            continue
        if path.suffix == ".tar":
            with tarfile.open(path) as archive:
                members = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
                found |= {
                    f"{name}: {member}": _content(member, stream.read()) for member, stream in members.items() if stream
                }
        else:
            found[name.as_posix()] = _content(name.as_posix(), path.read_bytes())
    return found


def differences(ours: Outcome, theirs: Outcome) -> list[str]:
    """The paths that are not alike."""
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def damages(folder: Path) -> list[str]:
    """Files under final names that cannot be read whole."""
    from safetensors.numpy import load_file

    found = []
    for path in folder.rglob("*"):
        if path.is_dir() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".jsonl":
                [json.loads(line) for line in path.read_bytes().splitlines()]
            elif path.suffix == ".safetensors":
                load_file(path)
            elif path.suffix == ".tar":
                with tarfile.open(path) as archive:
                    archive.getmembers()
            elif path.name.startswith("checkpoint.") and path.suffix == ".pt":
                place_of(path)
        except FileNotFoundError:
            continue
        except Exception as error:
            found.append(f"{path}: {type(error).__name__}: {error}")
    return found


def place_of(checkpoint: Path) -> tuple[int, int]:
    """How many epochs are done in a checkpoint, and how many batches of the next.

    Raises:
        Exception: it is damaged.
    """
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state"]
    return len(state["history"]), state["step"]


def _content(name: str, data: bytes) -> Any:
    suffix = Path(name).suffix
    if Path(name).name in ("manifest.sha256", "seconds.json"):
        return None
    if suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in data.splitlines()]
    return _timeless(json.loads(data)) if suffix == ".json" else hashlib.sha256(data).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, list):
        return [_timeless(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _timeless(each) for key, each in value.items() if key not in TIMES}
    for key in kept:
        if key in MEASURED or key == "benchmark.json":
            kept[key] = "measured"
    if kept.get("stage") == "bundle" and isinstance(kept.get("summary"), dict):
        kept["summary"] = {key: each for key, each in kept["summary"].items() if key != "bytes"}
    return kept
