"""Every network of the matrix in every precision: exported, audited, proved, timed, loaded by ONNX Runtime alone.

    python -m benchmarks.matrix                                    all networks, and third party's weights in $TMKD_DATA
    python -m benchmarks.matrix --only torchvision-mobilenet_v2    one row again; the table is of all rows there are
    python -m benchmarks.matrix --only published-resnet56 --method entropy
    python -m benchmarks.matrix --run runs/quickstart              the chosen student of a run besides

Each row leaves its files and `result.json` in a folder below `--out`. Exit code 3 where a file failed that the matrix
does not expect to fail.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.matrix.networks import MATRIX, SMALL
from benchmarks.matrix.subjects import PUBLISHED, Subject, of_run, published, trained_like
from benchmarks.matrix.table import to_markdown
from benchmarks.matrix.trial import PRECISIONS, try_subject
from exporters.core.files import write_text

NETWORKS = {network.label: network for network in (*MATRIX, *SMALL)}
TABLE = "matrix.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Try rows, write and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    known = [*NETWORKS, *PUBLISHED]
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=known, help=f"of {', '.join(known)}")
    parser.add_argument("--run", nargs="+", type=Path, default=[], help="directories: their chosen students")
    parser.add_argument("--out", type=Path, default=Path("runs/matrix"))
    parser.add_argument(
        "--method", choices=("minmax", "entropy", "percentile"), default="minmax", help="of calibration"
    )
    parser.add_argument("--percentile", type=float, default=99.99)
    chosen = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    unexpected = 0
    default = [] if chosen.run else [*(network.label for network in MATRIX), *PUBLISHED]
    for name in [*(default if chosen.only is None else chosen.only), *chosen.run]:
        label = name if isinstance(name, str) else name.name
        folder = chosen.out / (label if chosen.method == "minmax" else f"{label}-{chosen.method}")
        subject = _subject(name, folder)
        if subject is None:
            _say(f"{label}: not tried, TMKD_DATA does not hold it")
            continue
        row = try_subject(subject, folder, method=chosen.method, percentile=chosen.percentile)
        allowed = NETWORKS[label].misses if label in NETWORKS else frozenset()
        unexpected += sum(row[key]["status"] != "passed" and key not in allowed for key in PRECISIONS)
        unexpected += row["plain"]["status"] != "loaded"
        _say(f"{label}: " + ", ".join(f"{key} {row[key]['status']}" for key in PRECISIONS) + f" ({row['seconds']} s)")
    table = to_markdown(_rows(chosen.out))
    write_text(chosen.out / TABLE, f"{table}\n")
    sys.stdout.write(f"{table}\n")
    return 3 if unexpected else 0


def _subject(name: str | Path, folder: Path) -> Subject | None:
    if isinstance(name, Path):
        return of_run(name)
    return trained_like(NETWORKS[name], folder) if name in NETWORKS else published(name)


def _rows(out: Path) -> list[dict[str, Any]]:
    """All results there are, those of the matrix first and in its order."""
    order = [*NETWORKS, *PUBLISHED]
    found = sorted(path.parent.name for path in out.glob("*/result.json"))
    found.sort(key=lambda name: order.index(name) if name in order else len(order))
    return [json.loads((out / name / "result.json").read_text(encoding="utf-8")) for name in found]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
