"""What distillation costs, as ratios in CPU seconds: `python -m benchmarks.training`.

    python -m benchmarks.training --only cold,warm --pixels 32,224 --rounds 5
    python -m benchmarks.training --json >> measured.jsonl          a JSON line for each ratio
    python -m benchmarks.training --table measured.jsonl            those lines as a table

Contenders take turns on one thread, so that a busy machine is unfair to none. Peers are their published packages, which
the extra `dev` installs. `compare` runs two whole comparisons a round, and so is measured only where it is named:

    python -m benchmarks.training --only compare --pixels 32 --images data/cifar10 --teacher resnet56.th --classes 10
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.training.measuring import Claim, circumstances
from benchmarks.training.table import to_markdown

STEPWISE = ("plain_loop", "timm_task", "torchdistill", "cold", "warm", "loader", "meters")
NAMES = (*STEPWISE, "compare")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print: Markdown, or JSON lines as they come."""
    chosen = _parser().parse_args(arguments)
    if chosen.table is not None:
        lines = [json.loads(line) for line in chosen.table.read_text(encoding="utf-8").splitlines() if line]
        sys.stdout.write(f"{to_markdown(lines)}\n")
        return
    import torch

    torch.set_num_threads(chosen.threads)
    facts, lines = circumstances(chosen.threads), []
    for pixels in chosen.pixels:
        for name in chosen.only:
            for claim in _measure(name, pixels, chosen):
                lines.append(claim.to_json() | facts)
                if chosen.json:
                    sys.stdout.write(f"{json.dumps(lines[-1])}\n")
                    sys.stdout.flush()
    if not chosen.json:
        sys.stdout.write(f"{to_markdown(lines)}\n")


def _measure(name: str, pixels: int, chosen: argparse.Namespace) -> list[Claim]:
    from benchmarks.training import (
        cold,
        comparison,
        loader,
        meters,
        plain_loop,
        subjects,
        timm_task,
        torchdistill_box,
        warm,
    )

    pair = subjects.TINY if chosen.tiny else subjects.PAIRS[pixels]
    changes = {key: value for key in ("batch", "steps", "classes") if (value := getattr(chosen, key)) is not None}
    built = subjects.Subjects(replace(pair, **changes))
    if name == "compare":
        schedule = (2, 1) if chosen.tiny else tuple(chosen.schedule)
        seeds = 1 if chosen.tiny else chosen.seeds
        return comparison.measure(
            built, chosen.rounds, chosen.images, chosen.teacher, seeds, schedule, chosen.train_images
        )
    modules = {
        "plain_loop": plain_loop,
        "timm_task": timm_task,
        "torchdistill": torchdistill_box,
        "cold": cold,
        "warm": warm,
        "loader": loader,
        "meters": meters,
    }
    return modules[name].measure(built, chosen.rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", type=_names, default=STEPWISE, help=f"of {', '.join(NAMES)}")
    parser.add_argument("--pixels", type=_sizes, default=(32, 224), help="32, 224 or both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, help="images in a step")
    parser.add_argument("--steps", type=int, help="steps in a measured piece of work")
    parser.add_argument("--classes", type=int)
    parser.add_argument("--tiny", action="store_true", help="networks and images so small that only the way is tried")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of Markdown")
    parser.add_argument("--table", type=Path, metavar="FILE", help="measure nothing; print the lines of a file")
    compare = parser.add_argument_group("compare")
    compare.add_argument("--images", type=Path, help="class folders with train and test; default: drawn ones")
    compare.add_argument("--teacher", type=Path, help="its weights; default: fitted for an epoch")
    compare.add_argument("--seeds", type=int, default=3)
    compare.add_argument("--schedule", type=_sizes_of_schedule, default=(30, 6), metavar="EPOCHS,CYCLE")
    compare.add_argument("--train-images", type=int, help="so many training images; default: all")
    return parser


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := sorted(set(names) - set(NAMES)):
        raise argparse.ArgumentTypeError(f"no comparison {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return names


def _sizes(text: str) -> tuple[int, ...]:
    if not set(sizes := text.split(",")) <= {"32", "224"}:
        raise argparse.ArgumentTypeError(f"expected 32, 224 or both, got {text}")
    return tuple(map(int, sizes))


def _sizes_of_schedule(text: str) -> tuple[int, int]:
    try:
        epochs, cycle = map(int, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected two numbers such as 30,6, got {text}") from error
    return epochs, cycle


if __name__ == "__main__":
    main()
