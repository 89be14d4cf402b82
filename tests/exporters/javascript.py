"""The JavaScript example in Node, and in a headless Chromium against a server of the test's own."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.report.page.browser import BROWSER

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "javascript"

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")


def node(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def evaluated(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a module in Node, as if it lay in the example's folder."""
    return node(EXAMPLE, "--input-type=module", "--eval", code, *arguments)


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript", ".wasm": "application/wasm"}
    told: "list[str]"
    arrived: threading.Event

    def do_POST(self) -> None:
        self.told.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()
        self.arrived.set()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, type[_Handler]]]:
    """A folder behind http://127.0.0.1, and what keeps what pages post."""
    handler = type("Handler", (_Handler,), {"told": [], "arrived": threading.Event()})
    with ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: handler(*a, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler
        finally:
            server.shutdown()
            thread.join()


def in_browser(folder: Path, script: str, profile: Path, seconds: float = 120) -> Any:
    """What a module, run in a page of the folder, gives.

    Args:
        folder: is served; the page goes into it.
        script: the body of an async function that returns a JSON value.
        profile: an empty folder for the browser.
        seconds: how long that may take.

    Raises:
        AssertionError: an error in the page, with its message; or nothing came.
    """
    (folder / "test.html").write_text(
        '<!doctype html><link rel="icon" href="data:,"><body><script type="module">\n'
        f"const work = async () => {{ {script} }};\n"
        "const tell = (value) => fetch('/', {method: 'POST', body: JSON.stringify(value)});\n"
        "window.addEventListener('error', (event) => tell({error: `${event.message}`}));\n"
        "work().then((value) => tell({value}), (error) => tell({error: `${error.stack}`}));\n"
        "</script>"
    )
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"]
    with served(folder) as (address, handler):
        browser = subprocess.Popen(
            [*command, f"--user-data-dir={profile}", "--remote-debugging-port=0", f"{address}/test.html"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert handler.arrived.wait(seconds), "the page gave nothing"
        finally:
            browser.terminate()
            browser.wait(timeout=30)
    told = json.loads(handler.told[0])
    assert "error" not in told, told["error"]
    return told["value"]
