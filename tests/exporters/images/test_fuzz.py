"""Broken images through everything that decodes those of others: one clear outcome, in bounded time and memory.

Tests without hypothesis bear its mark, so that `make fuzz` runs them. `tests/exporters/serving/test_hostile_uploads.py`
sends such images to a server.
"""

import asyncio
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.visible import visible
from exporters.images.decoding import UnreadableImageError, open_rgb
from exporters.images.preprocessing import Preprocessing
from exporters.serving.decoding.messages import DecodeRequest
from exporters.serving.decoding.process import Decoder
from exporters.serving.problems import RequestError
from tests.exporters.images.mutations import EXAMPLES, FIRST, KINDS, broken_image, whole
from tests.pipeline.conftest import set_, write_recipe

SECONDS = 10.0
MEGABYTES = 700
PREPROCESSING = Preprocessing(size=32, resize=32, mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.mark.parametrize("kind", KINDS)
def test_unbroken_files_are_read(kind: str) -> None:
    assert open_rgb(whole(kind)).size == (24, 17)


@settings(deadline=None, max_examples=EXAMPLES)
@given(st.integers(0, 2**32))
def test_broken_image_is_read_or_refused_by_a_clear_message(seed: int) -> None:
    try:
        image = open_rgb(broken_image(seed), "the image", 1_000_000)
    except UnreadableImageError as error:
        assert error.message.startswith("the image: the image cannot be read: ") and len(error.message) < 400
        assert visible(error.message) == error.message and "\n" not in error.message
    else:
        assert image.mode == "RGB" and 0 < image.width * image.height <= 1_000_000


@pytest.mark.hypothesis
def test_server_answers_every_broken_image_and_keeps_its_decoder() -> None:
    """Of a decoder that has 512 MiB and is killed after ten seconds; what it gives is what is decoded here."""

    async def main() -> None:
        decoder = await Decoder.start(512 * 2**20, SECONDS)
        request = DecodeRequest(PREPROCESSING.to_json(), None, 1_000_000)
        try:
            for seed in range(FIRST, FIRST + EXAMPLES):
                data = broken_image(seed)
                async with asyncio.timeout(SECONDS):
                    try:
                        pixels: np.ndarray | None = (await decoder.decode(request, data)).pixels
                    except RequestError as error:
                        pixels, (status, message) = None, (error.status, error.message)
                try:
                    expected = PREPROCESSING.apply(open_rgb(data, "the upload", 1_000_000))
                except UnreadableImageError as error:
                    assert (pixels, status, message) == (None, 422, error.message), seed
                else:
                    np.testing.assert_array_equal(pixels, expected, err_msg=str(seed))
        finally:
            decoder.kill()

    asyncio.run(main())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Broken images among whole ones, in class folders."""
    root = tmp_path_factory.mktemp("fuzz")
    for number in range(EXAMPLES):
        path = root / ("train" if number % 4 else "test") / ("teal" if number % 8 < 4 else "smew") / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(broken_image(FIRST + number))
    for split in ("train", "test"):
        for name in ("teal", "smew"):
            for number, kind in enumerate(KINDS):
                (root / split / name / f"whole{number}.jpg").write_bytes(whole(kind) + name.encode() + split.encode())
    return root


def run_limited(arguments: list[object], seconds: float) -> "subprocess.CompletedProcess[bytes]":
    """A command as a process of its own with limits of memory and CPU time."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (MEGABYTES * 2**20, MEGABYTES * 2**20))
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))

    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, preexec_fn=limit)


def assert_one_outcome(done: "subprocess.CompletedProcess[bytes]", *allowed: int) -> None:
    assert done.returncode in allowed, (FIRST, done.returncode, done.stderr[-2000:])
    for stream in (done.stdout, done.stderr):
        text = stream.decode()
        assert visible(text) == text, FIRST
        assert "Traceback" not in text and "Warning" not in text, (FIRST, text[-2000:])


@pytest.mark.hypothesis
def test_stage_data_leaves_broken_images_out(folder: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "fuzz.yaml", folder)
    run = ["run", recipe, "--until", "data", "--run-dir", tmp_path / "run", *set_({"data.on_leak": "drop"})]
    assert_one_outcome(run_limited(run, 60 + EXAMPLES / 10), 4)
    assert_one_outcome(run_limited([*run, "--set", "data.on_error=skip"], 60 + EXAMPLES / 10), 0)


@pytest.mark.hypothesis
def test_predict_names_broken_images_and_classifies_the_others(folder: Path, packed: Path) -> None:
    images = sorted(folder.rglob("*.[pj][np]g"))
    done = run_limited(["predict", packed, *images, "--top", 1], 60 + EXAMPLES / 10)
    assert_one_outcome(done, 4)
    named = [line for line in done.stderr.decode().splitlines() if ": the image cannot be read: " in line]
    classified = [line for line in done.stdout.decode().splitlines() if line.startswith(str(folder))]
    assert sorted([*(line.split(": ")[0] for line in named), *classified]) == [str(image) for image in images], (
        done.stderr
    )
    assert sum("whole" in line for line in classified) == 4 * len(KINDS)
