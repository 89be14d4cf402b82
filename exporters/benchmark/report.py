"""The files of a benchmark: `benchmark.json`, `benchmark.md` and, with matplotlib, `benchmark.png`."""

import importlib.util
from pathlib import Path

from exporters.benchmark.figure import draw_png
from exporters.benchmark.markdown import to_markdown
from exporters.benchmark.table import Result
from exporters.core.errors import UsageError
from exporters.core.files import write_bytes, write_json, write_text

JSON, MARKDOWN, FIGURE = "benchmark.json", "benchmark.md", "benchmark.png"


def report_folder(bundle: Path, out: Path | None) -> Path:
    """Where the files go: `out`, or `<bundle>.benchmark` beside the bundle, which is sealed.

    Raises:
        UsageError: `out` is in the bundle, or is a file.
    """
    sealed = bundle.resolve()
    if out is None:
        return sealed.with_name(f"{sealed.name}.benchmark")
    if out.resolve().is_relative_to(sealed):
        raise UsageError(f"{out}: lies in the bundle, which is sealed", remedy="Choose a folder outside of it.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: exists and is not a folder")
    return out


def write_report(result: Result, folder: Path) -> list[str]:
    """Write the files; gives their names.

    The figure is left out, and one of an earlier benchmark removed, where matplotlib is not installed.
    """
    has_figure = importlib.util.find_spec("matplotlib") is not None
    write_json(folder / JSON, result)
    write_text(folder / MARKDOWN, to_markdown(result, figure=FIGURE if has_figure else None))
    if not has_figure:
        (folder / FIGURE).unlink(missing_ok=True)
        return [JSON, MARKDOWN]
    write_bytes(folder / FIGURE, draw_png(result))
    return [JSON, MARKDOWN, FIGURE]
