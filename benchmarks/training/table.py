"""Measured ratios as a Markdown table."""

from collections.abc import Iterable, Mapping
from typing import Any

TITLES = {
    "cold_naive": "TMKD, teachers asked for each image / naive loop",
    "cold_parts": "TMKD, teachers asked for each image / sum of its parts",
    "warm": "TMKD from its cache, whole training / plain training",
    "timm_task": "kd / timm's distillation task",
    "torchdistill": "kd / torchdistill's kd",
    "plain_loop": "plain training / a plain PyTorch loop",
    "loader_share": "loader, from memory / plain training with it",
    "augmentation": "shift and mirror, image by image / in batches",
    "augmentation_erasing": "shift, mirror and erasing, image by image / in batches",
    "augmentation_jitter": "shift, mirror and colour, image by image / in batches",
    "meters": "meters of a step / plain training",
    "compare": "compare of ce, kd and tmkd / as many plain runs",
}


def to_markdown(lines: Iterable[Mapping[str, Any]]) -> str:
    """A row for each measured line, and the facts that hold for all of them.

    Args:
        lines: as `python -m benchmarks.training --json` prints them; those of several runs may be joined.
    """
    rows, facts = [], []
    for line in lines:
        ratio, seconds = line["ratio"], line["seconds"]
        bound = "" if line["bound"] is None else f"{'≥' if line['at_least'] else '≤'} {line['bound']:.2f}"
        holds = {True: "yes", False: "no", None: ""}[line["holds"]]
        ours, peer = (sum(seconds[name]["cpu"] for name in line[side].split("+")) for side in ("ours", "peer"))
        rows.append(
            f"| {TITLES.get(line['comparison'], line['comparison'])} | {line['pixels'] or ''}"
            f" | {_number(ours, 3)} | {_number(peer, 3)}"
            f" | **{_number(ratio['cpu'], 2)}** | {_number(ratio['wall'], 2)} | {bound} | {holds}"
            f" | {line['rounds']} | {line['commit']} |"
        )
        machine, peers = line["machine"], line["peers"]
        fact = (
            f"{machine['processor'] or machine['machine']}, {line['threads']} thread"
            f"{'' if line['threads'] == 1 else 's'}, Python {machine['python']}, torch {machine['packages']['torch']}, "
            + ", ".join(f"{name} {version}" for name, version in peers.items())
        )
        if fact not in facts:
            facts.append(fact)
    head = (
        "| ours / peer | px | CPU s, ours | CPU s, peer | ratio, CPU | ratio, wall | wanted | holds | rounds | commit |"
    )
    return "\n".join([head, "|---|---|---|---|---|---|---|---|---|---|", *rows, "", *facts])


def _number(value: float, decimals: int) -> str:
    """With so many decimals, or where these would hide it two significant digits."""
    return f"{value:.{decimals}f}" if value >= 10.0 ** (1 - decimals) else f"{value:.2g}"
