"""A page in a real browser: Chromium without a window, where there is one."""

import base64
import io
import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

DARK = ["--blink-settings=preferredColorScheme=0", "--force-dark-mode"]

MEASURE = """
<script>%s</script>
<script>
axe.run(document, {resultTypes: ["violations"]}).then(found => {
  const boxes = {};
  for (const figure of document.querySelectorAll("figure")) {
    const box = figure.querySelector("svg").getBoundingClientRect();
    boxes[figure.id] = [box.left, box.top, box.width, box.height];
  }
  const tables = {};
  for (const table of document.querySelectorAll("table[id]")) {
    tables[table.id.replace(/^table-/, "")] = [...table.querySelectorAll("tbody tr")].map(
      row => [...row.children].map(cell => cell.textContent.trim()));
  }
  const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  const scrolled = [...document.querySelectorAll("pre")].filter(code => code.scrollWidth > code.clientWidth).length;
  const faults = found.violations.map(each => [each.impact, each.id, each.nodes.map(node => node.html).slice(0, 3)]);
  const told = {faults, boxes, tables, wide, scrolled, height: document.documentElement.scrollHeight,
                verdict: document.querySelector("#verdict").innerText};
  const place = document.createElement("pre");
  place.id = "measured";
  place.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(told))));
  document.body.replaceChildren(place);
});
</script>
"""


def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page."""
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *options]
    return subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)


def measured(page: Path, *options: str) -> dict[str, Any]:
    """What the page is like, by a copy of it with a script in it.

    Returns:
        `faults` of axe-core: impact, rule, elements; `boxes` of the figures: left, top, width, height; the cells of
        the `tables` by name; whether the page is `wide`r than the window; how many blocks of code are `scrolled`
        sideways; its `height`; the `verdict`.
    """
    return _told_by(page, MEASURE, *options)


def _told_by(page: Path, script: str, *options: str) -> dict[str, Any]:
    axe = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    text = re.sub(r"<meta http-equiv=[^>]*>", "", page.read_text(encoding="utf-8"))
    copy = page.with_name("measured.html")
    copy.write_text(text.replace("</body>", script % axe + "</body>"), encoding="utf-8")
    dumped = browse(copy, "--dump-dom", "--virtual-time-budget=20000", *options).stdout
    found = re.search(r'<pre id="measured">([^<]*)</pre>', dumped)
    assert found is not None, dumped[-2000:]
    value: dict[str, Any] = json.loads(base64.b64decode(found.group(1)))
    return value


LOOK = """
<script>%s</script>
<script>
addEventListener("load", () => setTimeout(async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  const faults = found.violations.map(each => [each.impact, each.id, each.nodes.map(node => node.html).slice(0, 3)]);
  const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  const place = document.createElement("pre");
  place.id = "measured";
  place.textContent = btoa(unescape(encodeURIComponent(JSON.stringify({faults, wide}))));
  document.body.replaceChildren(place);
}, 500));
</script>
"""


def looked_at(page: Path, *options: str) -> dict[str, Any]:
    """As `measured`, of any page: `faults` and `wide` alone, half a second after it was loaded."""
    return _told_by(page, LOOK, *options)


def serious(faults: list[list[Any]]) -> list[list[Any]]:
    """Those faults of accessibility that a page may not have."""
    return [fault for fault in faults if fault[0] in ("serious", "critical")]


def foreign_requests(page: Path, log: Path, *options: str) -> tuple[set[str], str]:
    """Addresses beyond the page that are asked for when it is opened, and what the browser says meanwhile.

    Args:
        page: to open.
        log: file for the browser's account of its network.
        options: of the browser, such as its window's size.
    """
    watched = [f"--log-net-log={log}", "--enable-logging=stderr", "--dump-dom", "--virtual-time-budget=3000"]
    done = browse(page, *watched, *options)
    asked = set(re.findall(r'"url":"((?:https?|wss?|ftp):[^"]*)"', log.read_text(encoding="utf-8", errors="replace")))
    own = {url for url in asked if re.search(r"google|gvt1|chrome", url)}  # the browser's own errands
    return asked - own, done.stderr


def figures_without_pixels(page: Path, found: dict[str, Any], shot: Path) -> list[str]:
    """Figures of which next to nothing is to be seen in a picture of the whole page at 1,280 pixels.

    Args:
        page: to open.
        found: of `measured` with `--window-size=1280,900`.
        shot: file for the picture.
    """
    browse(page, f"--screenshot={shot}", f"--window-size=1280,{found['height']}")
    pixels = np.asarray(Image.open(io.BytesIO(shot.read_bytes())).convert("RGB"))
    empty = []
    for name, (left, top, width, height) in found["boxes"].items():
        part = pixels[int(top) : int(top + height), int(left) : int(left + width)].reshape(-1, 3)
        if width <= 300 or len(np.unique(part, axis=0)) <= 8:
            empty.append(name)
    return empty
