"""The JavaScript example reads a bundle, prepares images and answers as Python does: the contract needs no Python.

Reading and preparing need no package: they are tested by default, wherever Node.js and Chromium are installed. The
model needs onnxruntime-web, which npm fetches: those tests are marked `network`; `make test-network` runs them.
"""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from exporters.client import Student
from exporters.images.decoding import open_rgb
from exporters.images.preprocessing import Preprocessing
from tests.exporters.javascript import EXAMPLE, evaluated, in_browser, needs_node, needs_npm, node
from tests.exporters.odd_images import ODD
from tests.pipeline.report.page.browser import needs_browser

READ = (
    "import {openFolder} from './folder.js';"
    "import {readArray} from './bundle.js';"
    "const bundle = await openFolder(process.argv[1]);"
    "const array = readArray(await bundle.bytes('golden/outputs.npz'));"
    "console.log(JSON.stringify([array.dims, Array.from(array.data)]));"
)
PREPARE = (
    "import {readFileSync} from 'node:fs';"
    "import {prepare} from './preprocess.js';"
    "const cases = JSON.parse(readFileSync(process.argv[1], 'utf8'));"
    "const found = cases.map(({width, height, data, how}) =>"
    "  Buffer.from(prepare({width, height, data: Buffer.from(data, 'base64')}, how).data).toString('base64'));"
    "console.log(JSON.stringify(found));"
)
DECODE = """
const {decode} = await import('./photo.js');
const names = await (await fetch('names.json')).json();
const found = {};
for (const name of names) {
  const {data, width, height} = await decode(await (await fetch(`photos/${name}`)).blob());
  let text = '';
  for (const byte of data) text += String.fromCharCode(byte);
  found[name] = {width, height, data: btoa(text)};
}
return found;
"""


def test_the_lock_names_no_host() -> None:
    lock = (EXAMPLE / "package-lock.json").read_text("utf-8")
    assert "://" not in lock and "resolved" not in lock
    locked = json.loads(lock)["packages"]
    wanted = json.loads((EXAMPLE / "package.json").read_text("utf-8"))["dependencies"]
    assert locked[""]["dependencies"] == wanted
    assert all("integrity" in entry for name, entry in locked.items() if name)


@needs_node
def test_reader_needs_no_packages_and_checks_hashes(packed: Path, tmp_path: Path) -> None:
    """The reader alone, which needs no package."""
    result = evaluated(READ, packed)
    assert result.returncode == 0, result.stderr
    dims, values = json.loads(result.stdout)
    golden = np.load(packed / "golden" / "outputs.npz")["logits"]
    np.testing.assert_array_equal(np.array(values, np.float32).reshape(dims), golden)
    for change in ("labels.json", "extra.json", "golden/inputs.npz"):
        bundle = Path(shutil.copytree(packed, tmp_path / change.replace("/", "-")))
        with (bundle / change).open("ab") as stream:
            stream.write(b" ")
        refused = evaluated(READ, bundle)
        assert refused.returncode != 0 and change in refused.stderr


def transparent_over(size: tuple[int, int]) -> Image.Image:
    random = np.random.default_rng(size[0])
    return Image.fromarray(random.integers(0, 256, (size[1], size[0], 4), np.uint8))


@needs_node
def test_images_are_prepared_to_the_pixel_as_the_client_does(tmp_path: Path) -> None:
    """From the same RGBA pixels, with every kind of margin, growing and shrinking, in both filters."""
    filters: tuple[Literal["bilinear", "bicubic"], ...] = ("bilinear", "bicubic")
    sizes = [(53, 331), (331, 53), (70, 70), (36, 36), (1, 1), (3, 2), (131, 90), (90, 131), (7, 300)]
    cases, expected = [], []
    for shape in sizes:
        for interpolation in filters:
            for size, resize in ((32, 36), (32, 41), (32, 32), (5, 200)):
                image = transparent_over(shape)
                preprocessing = Preprocessing(size, resize, (0.5,) * 3, (0.2,) * 3, interpolation)
                expected.append(preprocessing.apply(open_rgb(image)))
                data = base64.b64encode(image.tobytes()).decode()
                how = preprocessing.to_json()
                cases.append({"width": image.width, "height": image.height, "data": data, "how": how})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    done = evaluated(PREPARE, tmp_path / "cases.json")
    assert done.returncode == 0, done.stderr
    for case, found, wanted in zip(cases, json.loads(done.stdout), expected, strict=True):
        pixels = np.frombuffer(base64.b64decode(found), np.uint8).reshape(wanted.shape)
        np.testing.assert_array_equal(pixels, wanted, err_msg=str((case["width"], case["height"], case["how"])))
    cases[0]["how"]["antialias"] = False  # type: ignore[index]
    (tmp_path / "cases.json").write_text(json.dumps(cases[:1]))
    refused = evaluated(PREPARE, tmp_path / "cases.json")
    assert refused.returncode != 0 and "cannot follow antialias: false" in refused.stderr


@needs_browser
def test_browser_decodes_photographs_as_the_client_does(tmp_path: Path) -> None:
    """Exactly where a file holds opaque pixels as such; off by one where it is transparent; JPEG by its decoder."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "page", ignore=shutil.ignore_patterns("node_modules")))
    (folder / "photos").mkdir()
    names = [name for name in ODD if name != "cmyk"]  # which browsers turn into RGB by other rules
    for name in names:
        ODD[name](folder / "photos" / name)
    (folder / "names.json").write_text(json.dumps(names))
    found: dict[str, Any] = in_browser(folder, DECODE, tmp_path / "profile")
    for name in names:
        wanted = np.asarray(open_rgb(folder / "photos" / name)).astype(int)
        rgba = np.frombuffer(base64.b64decode(found[name]["data"]), np.uint8)
        pixels = rgba.reshape(found[name]["height"], found[name]["width"], 4)
        assert pixels.shape[:2] == wanted.shape[:2] and (pixels[..., 3] == 255).all(), name
        furthest = int(np.abs(pixels[..., :3] - wanted).max())
        of_decoder = "jpeg" in name or "exif" in name
        assert furthest <= (3 if of_decoder else 1 if "alpha" in name else 0), (name, furthest)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its packages."""
    folder = tmp_path_factory.mktemp("installed") / "javascript"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run(["npm", "ci", "--omit=dev", "--ignore-scripts"], cwd=folder, check=True, timeout=280)
    return folder


@pytest.mark.network
@needs_npm
def test_the_golden_outputs_are_reproduced(installed: Path, packed: Path, tmp_path: Path) -> None:
    done = node(installed, "check.js", packed)
    assert done.returncode == 0, done.stderr
    assert "golden image 7: " in done.stdout and "largest error" in done.stdout
    bundle = Path(shutil.copytree(packed, tmp_path / "bundle"))
    with (bundle / "model.onnx").open("ab") as stream:
        stream.write(b"\0")
    refused = node(installed, "check.js", bundle)
    assert refused.returncode == 3 and "model.onnx: damaged" in refused.stderr


GOLDEN = """
const ort = await import('./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs');
const {readBundle} = await import('./bundle.js');
const {loadStudent} = await import('./student.js');
const {prepare} = await import('./preprocess.js');
const {decode} = await import('./photo.js');
ort.env.wasm.numThreads = 1;
const bundle = await readBundle(async (name) => new Uint8Array(await (await fetch(`bundle/${name}`)).arrayBuffer()));
const how = await bundle.json('preprocess.json');
const student = await loadStudent(ort, bundle);
const proof = await student.prove();
const names = await (await fetch('names.json')).json();
const photos = {};
for (const name of names) {
  const logits = await student.logits(prepare(await decode(await (await fetch(`photos/${name}`)).blob()), how));
  photos[name] = {logits: Array.from(logits), first: student.rank(logits)[0]};
}
return {logits: Array.from(proof.logits), first: proof.rows.map((row) => row[0]), photos};
"""
PAGE = """
const frame = document.createElement('iframe');
frame.src = 'index.html?bundle=bundle';
document.body.append(frame);
const until = async (condition) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 50));
};
await new Promise((resolve) => { frame.onload = resolve; });
const page = frame.contentDocument;
await until(() => !page.getElementById('proof').textContent.startsWith('Loading'));
const proof = page.getElementById('proof').textContent;
if (proof.startsWith('error')) return {proof, answers: []};
const chosen = new DataTransfer();
chosen.items.add(new File([await (await fetch('photos/square')).blob()], 'square.png', {type: 'image/png'}));
const input = page.getElementById('photo');
input.files = chosen.files;
input.dispatchEvent(new Event('change'));
await until(() => page.querySelectorAll('#answers li').length > 0);
return {proof, answers: Array.from(page.querySelectorAll('#answers li'), (line) => line.textContent)};
"""


@pytest.fixture
def page(installed: Path, packed: Path, tmp_path: Path) -> Path:
    """The example with a bundle and photographs beside it."""
    folder = tmp_path / "page"
    shutil.copytree(installed, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(installed / "node_modules")
    shutil.copytree(packed, folder / "bundle")
    (folder / "photos").mkdir()
    names = [name for name in ODD if name != "cmyk"]
    for name in names:
        ODD[name](folder / "photos" / name)
    (folder / "names.json").write_text(json.dumps(names))
    return folder


@pytest.mark.network
@needs_npm
@needs_browser
def test_browser_gives_the_golden_outputs_and_the_labels_of_the_client(page: Path, tmp_path: Path) -> None:
    found = in_browser(page, GOLDEN, tmp_path / "profile")
    golden = np.load(page / "bundle" / "golden" / "outputs.npz")["logits"]
    images = np.load(page / "bundle" / "golden" / "inputs.npz")["image"]
    student = Student.load(page / "bundle")
    scale = np.abs(golden).max()
    logits = np.array(found["logits"], np.float32).reshape(golden.shape)
    for reference in (golden, student.logits(images)):
        assert np.abs(logits - reference).max() <= 1e-4 * scale
    for (label, probability), row in zip(found["first"], student.logits(images), strict=True):
        assert label == student.rank(row)[0][0] and probability == pytest.approx(student.rank(row)[0][1], abs=1e-4)
    for name, answer in found["photos"].items():
        expected = student.logits(student.prepare(page / "photos" / name)[None])[0]
        of_decoder = "jpeg" in name or "exif" in name or "alpha" in name
        distance = np.abs(np.array(answer["logits"], np.float32) - expected).max() / scale
        assert distance <= (0.05 if of_decoder else 1e-4), (name, distance)
        assert answer["first"][0] == student.rank(expected)[0][0], name


@pytest.mark.network
@needs_npm
@needs_browser
def test_page_proves_the_bundle_and_classifies_a_photograph(page: Path, tmp_path: Path) -> None:
    found = in_browser(page, PAGE, tmp_path / "profile")
    assert "golden images reproduced" in found["proof"]
    expected = Student.load(page / "bundle").predict(page / "photos" / "square")
    assert found["answers"] == [f"{label}: {100 * probability:.2f} %" for label, probability in expected]
    with (page / "bundle" / "model.onnx").open("ab") as stream:
        stream.write(b"\0")
    refused = in_browser(page, PAGE, tmp_path / "second profile")
    assert refused == {"proof": "error: model.onnx: damaged", "answers": []}
