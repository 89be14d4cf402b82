"""Work as a run shows it, in a process of its own: bars in bars, lines between them, and a table at the end.

Waits for a line on standard input where a test wants to do something meanwhile.
"""

import os
import sys

from pipeline.console import Console
from pipeline.streams import protect_streams

LONG = "a species of many words: Schwarzschnabelstrandläufer 鳥鳥鳥 " * 2


def main() -> None:
    protect_streams()
    console = Console()
    console.heading("distill")
    with console.track("distill", None):
        with console.track("student 3/12", 40, later=360) as bar:
            for step in range(40):
                bar.advance()
                bar.show(**{"loss": 1.23456, "top-1 %": 74.1, "images/s": 1234.0, "waiting for data %": 12.0})
                if step == 20:
                    console.say("a line between bars")
                    assert console._display is None or console._display.refresh() is None
                    os.write(2, b"ready\n")  # past the display, which keeps standard error for itself
                    sys.stdin.readline()
                if console._display is not None:
                    console._display.refresh()
        with console.track(LONG, 10) as bar:
            bar.advance(5)
            if console._display is not None:
                console._display.refresh()
    metrics = {"loss": 1.5, "loss_ce": 1.5, "validation_top1": 0.625,
               "time": {"images_per_second": 99.6, "waiting_for_data": 9.9}}  # fmt: skip
    console.epoch_done("student", 3, 12, metrics)
    rows = [[f"teacher, view {name}", "82.64 (79.3–85.5)", "1,236,364"] for name in ("rgb", "edge", "high_frequency")]
    console.table("quickstart: student against teacher", ["", "validation top-1, %", "parameters"], rows)
    console.say("next:\n  tmkd-pipeline verify runs/quickstart/bundle")


if __name__ == "__main__":
    main()
