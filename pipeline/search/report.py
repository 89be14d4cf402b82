"""What a search leaves behind: `front.json`, `search.md`, `front.svg`, `front.png`, and a table on the console."""

from pathlib import Path

from exporters.core.files import dump_json, sha256_bytes, write_bytes, write_text
from exporters.core.markdown import markdown_table
from pipeline.search.outcome import Candidate, Outcome, to_json
from pipeline.search.space import Asked

FRONT, PAGE = "front.json", "search.md"
_NONE = "—"


def write_report(asked: Asked, outcome: Outcome, command: str, folder: Path) -> None:
    """Write the four files; without finished candidates there is no figure. The same results give the same bytes."""
    sha256 = sha256_bytes(asked.own.to_yaml().encode())
    write_text(folder / FRONT, dump_json(to_json(asked, outcome, command, sha256)))
    drawn = any(each.point is not None for each in outcome.candidates)
    write_text(folder / PAGE, _markdown(asked, outcome, command, drawn))
    if drawn:
        from pipeline.search.figure import draw

        svg, png = draw(outcome, asked.bounds, asked.threads)
        write_bytes(folder / "front.svg", svg)
        write_bytes(folder / "front.png", png)


def console_table(asked: Asked, outcome: Outcome) -> tuple[str, list[str], list[list[str]], int]:
    """Title, columns, rows and how many columns are words: the arguments of `Console.table`."""
    columns = ["candidate", "verdict", "validation top-1, %", "test, %", "latency, ms", "size, MB"]
    return f"{asked.own.name}: {len(outcome.candidates)} candidates", columns, _rows(outcome), 2


def _rows(outcome: Outcome) -> list[list[str]]:
    return [
        [
            each.name,
            _verdict(each, outcome),
            _percent(each.point.top1 if each.point else max(each.rungs.items())[1] if each.rungs else None),
            _percent(each.test_top1),
            *_costs(each),
        ]
        for each in outcome.candidates
    ]


def _verdict(each: Candidate, outcome: Outcome) -> str:
    if each is outcome.chosen:
        return "chosen"
    if each in outcome.front:
        return "on the front"
    return f"dropped {each.when}: {each.why}" if each.why else "finished, others are better"


def _costs(each: Candidate) -> tuple[str, str]:
    if each.point is not None:
        return f"{each.point.latency_ms:.3g}", f"{each.point.size / 1e6:.3g}"
    if each.untrained is not None:
        return f"({each.untrained.latency_ms:.3g})", f"({each.untrained.size / 1e6:.3g})"
    return _NONE, _NONE


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{100 * value:.2f}"


def _markdown(asked: Asked, outcome: Outcome, command: str, drawn: bool) -> str:
    columns = ["candidate", "verdict", "validation top-1, %", "test (fp32), %", "latency, ms", "size, MB"]
    bounds = asked.bounds
    asked_for = [
        *([] if bounds.latency_ms is None else [f"at most {bounds.latency_ms:g} ms"]),
        *([] if bounds.size_mb is None else [f"at most {bounds.size_mb:g} MB"]),
        *([] if bounds.top1 is None else [f"a validation top-1 of at least {100 * bounds.top1:g} %"]),
    ]
    chosen = "None is within the bounds." if outcome.chosen is None else f"Chosen: **{outcome.chosen.name}**."
    lines = [
        f"# Search: {asked.own.name}",
        "",
        f"{chosen} On the Pareto front of accuracy, latency and size: "
        f"{'; '.join(each.name for each in outcome.front) or 'none'}.",
        "",
        f"Asked for: {', '.join(asked_for) or 'no bounds'}. Rungs: {', '.join(map(str, asked.lengths))} epochs. "
        f"Latency: median of one image in ONNX Runtime, threads: {asked.threads}.",
        "",
        *(["![Accuracy and latency of the finished candidates](front.svg)", ""] if drawn else []),
        *markdown_table(columns, _rows(outcome), 2),
        "",
        "Validation decided everything. Of dropped candidates the accuracy is that of their last rung, and latency and "
        "size in parentheses are those of the untrained file. Two latencies in the same step of 5 % count as equal.",
        "",
        f"`{command}`",
        "",
    ]
    return "\n".join(lines)
