import io

from pipeline.console import Console
from pipeline.explain.suspects import LabelSuspects, Suspect, SuspectList
from pipeline.report.data_page.suspects_text import report_suspects


def test_first_ten_are_named_and_the_others_counted() -> None:
    suspects = tuple(Suspect("test", f"{number}.png", "cat", "dog", 0.01, 0.98) for number in range(12))
    stream = io.StringIO()
    found = LabelSuspects("runs/a", SuspectList(40, 28, 12, suspects), SuspectList(0, 0, 0, ()))
    report_suspects(found, Console(stream, plain=True))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "labels that the student contradicts, among 40 images that it was not trained on: 12"
    assert lines[1] == "    0.png: cat (1.0 %), rather dog (98.0 %)" and lines[-1] == "    and 2 more"
    assert len(lines) == 12
