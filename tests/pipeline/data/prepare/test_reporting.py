import io

from pipeline.console import Console
from pipeline.data.prepare.reporting import Reporter


def test_console_is_a_reporter() -> None:
    stream = io.StringIO()
    reporter: Reporter = Console(stream, plain=True)
    reporter.say("a line")
    reporter.warn("a warning")
    with reporter.track("unpacking", None, unit="bytes") as steps:
        steps.advance(5)
    assert stream.getvalue() == "a line\nWARNING: a warning\n"
