from exporters.core.markdown import markdown_table


def test_words_are_set_to_the_left_and_numbers_to_the_right() -> None:
    lines = markdown_table(["name", "ms", "MB"], [["cat", "1.5", "20"]], 1)
    assert list(lines) == ["| name | ms | MB |", "|---|---:|---:|", "| cat | 1.5 | 20 |"]


def test_bars_end_no_cell_unless_cells_are_escaped_otherwise() -> None:
    assert list(markdown_table(["a"], [["x|y"]], 1))[-1] == "| x\\|y |"
    assert list(markdown_table(["a"], [["x|y"]], 1, str.upper))[-1] == "| X|Y |"


def test_named_columns_of_words_are_set_to_the_left() -> None:
    assert list(markdown_table(["gate", "found", "why"], [], 1, texts=("why",)))[1] == "|---|---:|---|"
