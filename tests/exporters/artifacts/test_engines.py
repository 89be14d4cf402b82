"""Engines are built from the ONNX file of their precision."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("tensorrt_rtx")

from exporters.artifacts.engines import MadeEngine, build_engines, check_machine, make_engines
from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.artifacts.prove import prove_engine
from exporters.artifacts.variants import Variant
from exporters.bundle.manifest import ENGINE_SOURCES, plan_name, variant_of
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import sha256_file
from exporters.parity import Evidence, ParityGate
from exporters.tensorrt import check_fresh, sidecar_path
from exporters.tensorrt.gpu import Gpu
from exporters.tensorrt.progress import Progress
from tests.exporters.artifacts.conftest import SETTINGS
from tests.exporters.engine_runtime import GPU

GATE = ParityGate(None, 0.5, 0.5)


def test_plan_names_and_variants_correspond() -> None:
    assert [plan_name(name) for name in ENGINE_SOURCES.values()] == [
        "model.plan",
        "model.fp16.plan",
        "model.int8.trt.plan",
    ]
    assert [variant_of(name) for name in ENGINE_SOURCES.values()] == ["fp32", "fp16", "int8.trt"]
    assert {variant_of(plan_name(name)) for name in ENGINE_SOURCES.values()} == {"fp32", "fp16", "int8.trt"}
    assert all(variant_of(kind.file) == name for name, kind in VARIANT_KINDS.items())


def test_engine_is_built_for_each_precision(made: Mapping[str, MadeEngine], models: Mapping[str, Path]) -> None:
    for precision, engine in made.items():
        assert (engine.precision, engine.source) == (precision, models[precision].name)
        plan = models[precision].parent / "engines" / engine.file
        assert check_fresh(plan, sidecar_path(plan), sha256_file(models[precision])) == engine.sidecar
        assert engine.to_json() == {"file": engine.file, "source": engine.source}


def test_the_next_build_reuses_the_timing_cache(models: Mapping[str, Path], tmp_path: Path) -> None:
    lines: list[str] = []
    names: list[str] = []
    shares: list[float] = []

    @contextmanager
    def track(name: str) -> Iterator[Progress]:
        names.append(name)
        yield lambda _phase, share: shares.append(share)

    for _ in range(2):
        build_engines(
            ["fp16"], models, tmp_path, SETTINGS, library="tensorrt_rtx", cache=tmp_path / "cache", track=track,
            say=lines.append,
        )  # fmt: skip
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["tensorrt_rtx.timing"]
    assert lines[0].endswith("timing cache new") and lines[1].endswith("timing cache reused")
    assert "model.fp16.plan" in lines[0] and "from model.fp16.onnx by TensorRT for RTX" in lines[0]
    assert names == ["model.fp16.plan"] * 2 and shares[-1] == 1


class TestWithoutTensorRT:
    @pytest.fixture(autouse=True)
    def _none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("tensorrt", "tensorrt_rtx"):
            monkeypatch.setitem(sys.modules, name, None)

    def test_missing_library_is_warned_about_and_recorded(
        self, models: Mapping[str, Path], evidence: Evidence, tmp_path: Path
    ) -> None:
        warnings: list[str] = []
        made = build_engines(["fp16", "int8"], models, tmp_path / "engines", SETTINGS, warn=warnings.append)
        assert len(warnings) == 1 and "not installed" in warnings[0] and not (tmp_path / "engines").exists()
        for precision, engine in made.items():
            assert "not installed" in engine.to_json()["not_made"]
            verdict = prove_engine(engine, tmp_path / "engines", models[precision], evidence, GATE)
            assert verdict.status == "not made" and "not installed" in verdict.to_json()["reason"]

    def test_required_engine_is_refused(self, models: Mapping[str, Path], tmp_path: Path) -> None:
        with pytest.raises(UnavailableError, match="not installed"):
            build_engines(["fp16"], models, tmp_path, SETTINGS, required=True)
        with pytest.raises(UnavailableError, match="not installed"):
            check_machine(SETTINGS)


def test_unbuildable_engine_is_reported_and_the_others_are_made(models: dict[str, Path], tmp_path: Path) -> None:
    warnings: list[str] = []
    wrong = {"fp16": models["fp32"], "fp32": models["fp32"]}
    asked = ["int8", "fp16", "fp32"]
    made = build_engines(asked, wrong, tmp_path, SETTINGS, library="tensorrt_rtx", warn=warnings.append)
    assert [bool(made[precision].not_made) for precision in asked] == [True, True, False]
    assert "model.int8.trt.onnx, which it is built from, could not be made" in warnings[0] and "not fp16" in warnings[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.plan", "model.plan.json"]
    for precision in asked[:2]:
        with pytest.raises(GateError):
            build_engines([precision], wrong, tmp_path, SETTINGS, library="tensorrt_rtx", required=True)


def test_unsupported_settings_are_reported(models: Mapping[str, Path], tmp_path: Path) -> None:
    settings = replace(SETTINGS, version_compatible=True)
    warnings: list[str] = []
    made = build_engines(["fp32"], models, tmp_path, settings, library="tensorrt_rtx", warn=warnings.append)
    assert "version_compatible" in made["fp32"].not_made and "version_compatible" in warnings[0]
    with pytest.raises(UsageError, match="version_compatible"):
        check_machine(settings, "tensorrt_rtx")


@pytest.mark.parametrize(
    ("gpu", "asked", "told"),
    [
        (None, (), "torch finds none here"),
        (Gpu("H200", "9.0"), (), r"builds no engines for H200 \(compute capability 9.0\)"),
        (GPU, ("8.6", "12.0"), r"8\.6, 12\.0 do not run on Stand-in RTX"),
        (GPU, ("8.6", "8.9"), None),
        (GPU, (), None),
    ],
)
def test_engine_that_could_not_be_proved_is_refused_early(
    gpu: Gpu | None, asked: tuple[str, ...], told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.artifacts.engines.current_gpu", lambda: gpu)
    settings = replace(SETTINGS, compute_capabilities=asked)
    if told is None:
        check_machine(settings, "tensorrt_rtx")
        return
    with pytest.raises(UnavailableError, match=told):
        check_machine(settings, "tensorrt_rtx")


def test_rtx_builds_for_the_gpu_at_hand(
    models: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.artifacts.engines.current_gpu", lambda: GPU)
    made = build_engines(["fp32"], models, tmp_path, SETTINGS, library="tensorrt_rtx")
    assert made["fp32"].sidecar is not None and made["fp32"].sidecar["compute_capabilities"] == ["8.9"]


def test_nothing_is_built_from_a_variant_that_failed_its_gate_or_was_not_made(
    models: Mapping[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(models["fp32"].parent, tmp_path / "models", ignore=shutil.ignore_patterns("engines"))
    variants = {
        "fp16": Variant("fp16", failures=("largest error 1",)),
        "int8.trt": Variant("int8.trt", not_made="no calibration"),
    }
    made = make_engines(ENGINE_SOURCES, variants, folder, SETTINGS, library="tensorrt_rtx")
    assert list(made) == list(ENGINE_SOURCES) and not made["fp32"].not_made
    assert made["fp16"].not_made == "model.fp16.onnx, which it is built from, failed its gate"
    assert made["int8"].not_made == "model.int8.trt.onnx, which it is built from, could not be made"
    assert sorted(path.name for path in (folder / "engines").iterdir()) == ["model.plan", "model.plan.json"]
    assert {name: MadeEngine.from_json(name, engine.to_json()).not_made for name, engine in made.items()} == {
        name: engine.not_made for name, engine in made.items()
    }
