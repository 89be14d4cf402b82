from pathlib import Path

from exporters.benchmark.markdown import to_markdown
from tests.exporters.benchmark.results import made_up

GOLDEN = Path(__file__).with_name("golden.md")


def test_markdown_matches_the_golden_file() -> None:
    assert to_markdown(made_up(), figure="benchmark.png") == GOLDEN.read_text("utf-8")
    assert "benchmark.png" not in to_markdown(made_up())
