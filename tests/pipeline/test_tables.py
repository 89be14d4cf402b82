"""Every table of the command line at several widths, against the words and numbers that it holds."""

import re
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.table import Table

from exporters.benchmark.table import SHORT_COLUMNS
from exporters.benchmark.table import rows as benchmark_rows
from pipeline.comparison.analysis import analyse
from pipeline.comparison.report import console_table
from pipeline.tables import fitting_table
from tests.exporters.benchmark.results import made_up
from tests.pipeline.comparison.examples import large_comparison

Content = tuple[Sequence[str], Sequence[Sequence[str]], int]

SUMMARY: Content = (
    ["", "validation top-1, %", "test top-1, %", "parameters", "size"],
    [
        ["teacher, view high_frequency", "67.50 (63.8–71.0)", "69.00 (65.3–72.4)", "25,557,032", "102.23 MB"],
        ["teacher, fused (label-free)", "67.50 (63.8–71.0)", "69.00 (65.3–72.4)", "", ""],
        ["student, epoch 240 (chosen, ships)", "100.00 (99.4–100.0)", "98.00 (96.3–98.9)", "1,234,567", "4.94 MB"],
    ],
    1,
)


def benchmark() -> Content:
    return SHORT_COLUMNS, benchmark_rows(made_up(), 1), 2


def comparison(seeds: int) -> Content:
    compared = large_comparison(seeds)
    _, columns, rows, words = console_table(compared, analyse(compared))
    return columns, rows, words


TABLES = {"benchmark": benchmark(), "one seed": comparison(1), "three seeds": comparison(3), "summary": SUMMARY}


def rendered(content: Content, width: int) -> list[str]:
    columns, rows, words = content
    console = RichConsole(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(fitting_table(columns, rows, words, width))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("width", [60, 70, 80, 120])
@pytest.mark.parametrize("name", TABLES)
def test_no_word_or_number_is_broken(name: str, width: int) -> None:
    columns, rows, _ = TABLES[name]
    lines = rendered(TABLES[name], width)
    assert max(map(cell_len, lines)) <= width
    shown = {word.rstrip(":") for line in lines for word in re.split(r"[\s│┃]+", line)}
    for text in (*columns, *(cell for row in rows for cell in row)):
        assert {word.rstrip(":") for word in text.split()} <= shown, text


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_a_line_where_there_is_room(name: str) -> None:
    _, rows, _ = TABLES[name]
    lines = rendered(TABLES[name], 160)
    assert len(lines) == len(rows) + 4  # three borders and the headers
    for row, line in zip(rows, lines[3:], strict=False):
        assert [cell.strip() for cell in line.strip("│").split("│")] == list(row)


def test_stacked_rows_name_every_value_and_align_them() -> None:
    columns = ["runtime", "precision", "p50 ms", "images/s"]
    rows = [["torch-CPU", "fp32", "12.25", "81 (16)"], ["ORT-CPU", "int8", "3.5", "1,280 (64)"]]
    assert rendered((columns, rows, 2), 40) == [
        "runtime",
        "torch-CPU", "  precision: fp32", "  p50 ms 12.25   images/s    81 (16)",
        "ORT-CPU", "  precision: int8", "  p50 ms   3.5   images/s 1,280 (64)",
    ]  # fmt: skip


def test_words_wrap_before_rows_are_stacked() -> None:
    columns, rows = ["stage", "why"], [["teacher", "its settings changed: teacher.visual.model"]]
    shown = fitting_table(columns, rows, 2, 40)
    assert isinstance(shown, Table)
    lines = rendered((columns, rows, 2), 40)
    assert max(map(len, lines)) <= 40 and any("teacher.visual.model" in line for line in lines)


def test_wide_letters_count_twice() -> None:
    columns, rows = ["class", "images"], [["鴨" * 12, "1,000"], ["утка", "2"]]
    assert max(map(cell_len, rendered((columns, rows, 1), 30))) <= 30
