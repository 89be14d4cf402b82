from exporters.benchmark.table import COLUMNS, SHORT_COLUMNS, rows, throughput
from tests.exporters.benchmark.results import made_up


def test_rows_have_all_columns() -> None:
    table = rows(made_up(), 2)
    assert {len(row) for row in table} == {len(COLUMNS), len(SHORT_COLUMNS)} and len(table) == 3
    assert dict(zip(COLUMNS, table[2], strict=True)) == {
        "runtime": "ORT-CPU", "precision": "int8", "size MB": "2.60", "p50 ms": "0.62", "p95 ms": "0.94",
        "p99 ms": "1.25", "images/s (batch)": "1,600 (1)", "top-1 %": "90.75", "agreement %": "98.50",
        "memory MB": "64", "vs torch": "6.40", "vs fp32": "2.00",
    }  # fmt: skip
    assert dict(zip(COLUMNS, table[0], strict=True))["vs torch"] == "–"


def test_a_batch_that_was_left_out_is_a_gap() -> None:
    result = made_up()
    del result["results"][0]["batches"][1]
    columns, cells = throughput(result, 1)
    assert columns == ["runtime", "precision", "batch 1", "batch 16"]
    assert cells[0] == ["torch-CPU", "fp32", "125", "–"] and cells[1] == ["ORT-CPU", "fp32", "400", "400"]
