"""The page in a real browser: Chromium without a window, where there is one."""

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

pytest.importorskip("torch")

from exporters.core.files import read_json
from tests.pipeline.conftest import Run, run_command

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

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
  const cells = [...document.querySelectorAll("#table-accuracy tbody tr")].map(
    row => [...row.children].map(cell => cell.innerText.trim()));
  const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  const faults = found.violations.map(each => [each.impact, each.id, each.nodes.map(node => node.html).slice(0, 3)]);
  const told = {faults, boxes, cells, wide, height: document.documentElement.scrollHeight,
                verdict: document.querySelector("#verdict").innerText};
  const place = document.createElement("pre");
  place.id = "measured";
  place.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(told))));
  document.body.replaceChildren(place);
});
</script>
"""


def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *options]
    return subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture(scope="module")
def page(finished: tuple[Run, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(finished[0].directory, directory)
    assert run_command("report", directory).code == 0
    return directory / "report.html"


def measured(page: Path, *options: str) -> dict[str, Any]:
    """What the page is like, by a copy of it with a script in it."""
    axe = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    text = re.sub(r"<meta http-equiv=[^>]*>", "", page.read_text(encoding="utf-8"))
    copy = page.with_name("measured.html")
    copy.write_text(text.replace("</body>", MEASURE % axe + "</body>"), encoding="utf-8")
    dumped = browse(copy, "--dump-dom", "--virtual-time-budget=20000", *options).stdout
    found = re.search(r'<pre id="measured">([^<]*)</pre>', dumped)
    assert found is not None, dumped[-2000:]
    import base64

    value: dict[str, Any] = json.loads(base64.b64decode(found.group(1)))
    return value


@pytest.mark.parametrize("scheme", [[], DARK], ids=["light", "dark"])
def test_page_has_no_serious_fault_of_accessibility(page: Path, scheme: list[str]) -> None:
    faults = measured(page, "--window-size=1280,900", *scheme)["faults"]
    assert [fault for fault in faults if fault[0] in ("serious", "critical")] == []


def test_page_fits_a_phone(page: Path) -> None:
    assert measured(page, "--window-size=500,900")["wide"] is False  # the narrowest window that Chromium makes


def test_nothing_is_asked_for_beyond_the_page_and_the_console_is_silent(page: Path, tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    done = browse(page, f"--log-net-log={log}", "--enable-logging=stderr", "--dump-dom", "--virtual-time-budget=3000")
    assert "CONSOLE" not in done.stderr
    asked = set(re.findall(r'"url":"((?:https?|wss?|ftp):[^"]*)"', log.read_text(encoding="utf-8", errors="replace")))
    own = {url for url in asked if not re.search(r"google|gvt1|chrome", url)}  # the browser's own errands
    assert own == set()


def test_every_figure_has_pixels_and_verdict_and_table_are_those_of_the_files(page: Path, tmp_path: Path) -> None:
    found = measured(page, "--window-size=1280,900")
    shot = tmp_path / "page.png"
    browse(page, f"--screenshot={shot}", f"--window-size=1280,{found['height']}")
    pixels = np.asarray(Image.open(io.BytesIO(shot.read_bytes())).convert("RGB"))
    assert len(found["boxes"]) >= 10
    for name, (left, top, width, height) in found["boxes"].items():
        part = pixels[int(top) : int(top + height), int(left) : int(left + width)].reshape(-1, 3)
        assert width > 300 and len(np.unique(part, axis=0)) > 8, name
    verdict = read_json(page.parent / "validate" / "verdict.json")
    assert (found["verdict"] == "Shipped") is verdict["passed"]
    ships = next(cells for cells in found["cells"] if "ships" in cells[0])
    top1 = [100 * verdict["student"]["chosen"][split]["top1"] for split in ("validation", "test")]
    assert [cell.split(" ")[0] for cell in ships[1:3]] == [f"{value:.2f}" for value in top1]
