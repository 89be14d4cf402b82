"""The sentinel in a server: what it counts, says and logs."""

import dataclasses
import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exporters.bundle.contents import BundleContents
from exporters.bundle.pack import pack
from exporters.drift import STATISTICS, Comparison, DriftReference, Look, answer_values, pixel_values
from exporters.drift.reference import value_rows
from exporters.serving.drift import DriftReports
from exporters.serving.model import LoadedBundle, load_bundle
from exporters.serving.protocol import JSON_TYPE

from .app import App, run
from .conftest import photo, serving
from .test_metrics import value


def reference_of(bundle: LoadedBundle, images: int) -> DriftReference:
    """Of photographs such as `photo` draws."""
    student = bundle.student
    prepared = np.stack([student.prepare(photo(seed)) for seed in range(images)])
    rows = value_rows(pixel_values(prepared), [(60 * 41) ** 0.5] * images, answer_values(student.logits(prepared)))
    return DriftReference.of_values(rows, len(student.labels))


@pytest.fixture(scope="module")
def watched(bundle: LoadedBundle) -> LoadedBundle:
    return dataclasses.replace(bundle, drift=reference_of(bundle, 200))


def dark(seed: int) -> bytes:
    """The same photograph at a fifth of its light, and larger."""
    encoded = io.BytesIO()
    image = Image.open(io.BytesIO(photo(seed))).resize((120, 82))
    image.point(lambda level: level // 5).save(encoded, "PNG")
    return encoded.getvalue()


def test_images_like_validation_raise_no_alarm_and_others_do(watched: LoadedBundle) -> None:
    async def test(app: App) -> None:
        for seed in range(1000, 1100):
            assert (await app.ask("POST", "/predict", photo(seed)))[0] == 200
        status, headers, told = await app.ask("GET", "/drift")
        assert (status, headers["content-type"]) == (200, JSON_TYPE)
        assert (told["model_name"], told["images"], told["window"], told["alarm"]) == ("finches", 100, 100, False)
        metrics = app.service.metrics
        assert value(metrics, "tmkd_drift_watched") == 1
        assert value(metrics, "tmkd_drift_alarm", statistic="brightness") == 0
        for seed in range(1100, 1200):
            await app.ask("POST", "/predict", dark(seed))
        _, _, told = await app.ask("GET", "/drift")
        assert told["alarm"] and told["statistics"]["brightness"]["alarm"] and told["statistics"]["size"]["alarm"]
        assert value(metrics, "tmkd_drift_alarm", statistic="size") == 1
        assert value(metrics, "tmkd_drift_alarms_total", statistic="size") == 1
        assert value(metrics, "tmkd_drift_psi", statistic="size") == told["statistics"]["size"]["psi"]
        assert 150 < value(metrics, "tmkd_drift_images") <= told["seen"] == 200

    run(watched, test, drift_window=100, decoders=0)


def test_prepared_images_are_counted_without_a_size(watched: LoadedBundle) -> None:
    images = np.zeros((20, 32, 32, 3), np.uint8)
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(images.shape), "data": images.ravel().tolist()}

    async def test(app: App) -> None:
        asked = json.dumps({"inputs": [tensor]}).encode()
        assert (await app.ask("POST", "/v2/models/finches/infer", asked))[0] == 200
        statistics = (await app.ask("GET", "/drift"))[2]["statistics"]
        assert sum(statistics["brightness"]["window"]) == 16 and sum(statistics["size"]["window"]) == 0

    run(watched, test, decoders=0)


def test_server_that_watches_nothing_says_why(watched: LoadedBundle, bundle: LoadedBundle) -> None:
    async def off(app: App) -> None:
        assert (await app.ask("POST", "/predict", photo()))[0] == 200
        status, _, answer = await app.ask("GET", "/drift")
        assert status == 404 and "--drift-window 0" in answer["error"]
        assert value(app.service.metrics, "tmkd_drift_watched") == 0

    async def without(app: App) -> None:
        status, _, answer = await app.ask("GET", "/drift")
        assert status == 404 and "no drift.json" in answer["error"]

    run(watched, off, drift_window=0, decoders=0)
    run(bundle, without, decoders=0)


def test_another_bundle_begins_with_an_empty_window(watched: LoadedBundle) -> None:
    async def test(app: App) -> None:
        for seed in range(20):
            await app.ask("POST", "/predict", photo(seed))
        app.service.holder.put(watched)
        told = (await app.ask("GET", "/drift"))[2]
        assert (told["seen"], told["looks"]) == (0, 0)

    run(watched, test, decoders=0)


def test_beginning_and_end_of_an_alarm_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    began: list[list[str]] = []
    report = DriftReports(lambda _look, new: began.append(list(new)), "abc")
    comparisons = dict.fromkeys(STATISTICS, Comparison(0.5, 1e-9))
    with caplog.at_level(logging.INFO):
        for number, names in enumerate(({"size"}, {"size", "score"}, set()), 1):
            report(Look(number, 100, 1e-6, comparisons, {name: name in names for name in STATISTICS}))
    assert began == [["size"], ["score"], []]
    told = [(record.levelname, record.statistic) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [("WARNING", "size"), ("WARNING", "score"), ("INFO", "score"), ("INFO", "size")]


def test_real_server_raises_the_alarm(contents: BundleContents, bundle: LoadedBundle, tmp_path: Path) -> None:
    pack(dataclasses.replace(contents, drift=reference_of(bundle, 120)), tmp_path / "bundle")
    assert load_bundle(tmp_path / "bundle", "fp32", "cpu").drift is not None
    arguments = ("--drift-window", "100", "--threads", "1", "--decoders", "1")
    with serving(tmp_path / "bundle", tmp_path / "log", *arguments) as server:
        for seed in range(112):
            assert server.ask("POST", "/predict", dark(seed)).status == 200
        assert server.ask("GET", "/drift").json["statistics"]["size"]["alarm"]
        assert server.metric("tmkd_drift_alarm", statistic="brightness") == 1
        warned = [line["statistic"] for line in server.lines() if line["event"] == "drift"]
        assert {"size", "brightness"} <= set(warned)


def test_short_window_is_a_usage_error(packed: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "serve", str(packed), "--drift-window", "99"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "99 is neither 0 nor 100 or more" in done.stderr
