"""Engines are built from the ONNX file of their precision, and ship only after they ran on a GPU."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("tensorrt_rtx")

from exporters.artifacts.engines import (
    EngineVerdict,
    MadeEngine,
    after_source,
    check_machine,
    make_engines,
    prove_engine,
    settle,
    unmet,
)
from exporters.artifacts.variants import VARIANTS, Verdict
from exporters.bundle.manifest import ENGINE_SOURCES, plan_name, variant_of
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import sha256_file
from exporters.fp16.convert import to_fp16
from exporters.parity import DEFAULT_GATES, Evidence, ParityGate
from exporters.quantize import Calibration, quantize
from exporters.runtimes import TorchRuntime
from exporters.tensorrt import EngineSettings, check_fresh, find, sidecar_path
from exporters.tensorrt.gpu import Gpu, current_gpu
from exporters.tensorrt.progress import Progress
from tests.exporters.conftest import Exported
from tests.exporters.engine_runtime import GPU, stand_in

SETTINGS = EngineSettings((1, 4, 20))
GATE = ParityGate(None, 0.5, 0.5)


@pytest.fixture(scope="module")
def models(cifar: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """ONNX files by precision."""
    calibration = Calibration(lambda: iter([cifar.images]))
    data = {
        "fp32": cifar.data,
        "fp16": to_fp16(cifar.data),
        "int8": quantize(cifar.data, calibration, target="tensorrt"),
    }
    folder = tmp_path_factory.mktemp("models")
    for precision, content in data.items():
        (folder / ENGINE_SOURCES[precision]).write_bytes(content)
    return {precision: folder / name for precision, name in ENGINE_SOURCES.items()}


@pytest.fixture(scope="module")
def made(models: dict[str, Path]) -> dict[str, MadeEngine]:
    """An engine of each, in the folder `engines` beside the models."""
    folder = models["fp32"].parent / "engines"
    return make_engines(ENGINE_SOURCES, models, folder, SETTINGS, library="tensorrt_rtx")


@pytest.fixture
def evidence(cifar: Exported) -> Evidence:
    names = [f"image{index}.jpg" for index in range(len(cifar.images))]
    batches = [(cifar.images, cifar.logits.argmax(axis=1), names)]
    return Evidence(TorchRuntime(cifar.student), lambda: batches, part=8)


def test_names() -> None:
    assert [plan_name(name) for name in ENGINE_SOURCES.values()] == [
        "model.plan",
        "model.fp16.plan",
        "model.int8.trt.plan",
    ]
    assert [variant_of(name) for name in ENGINE_SOURCES.values()] == ["fp32", "fp16", "int8.trt"]
    assert {variant_of(plan_name(name)) for name in ENGINE_SOURCES.values()} == {"fp32", "fp16", "int8.trt"}
    assert all(variant_of(kind.file) == name for name, kind in VARIANTS.items())


def test_an_engine_of_each_precision(made: Mapping[str, MadeEngine], models: Mapping[str, Path]) -> None:
    for precision, engine in made.items():
        assert (engine.precision, engine.source) == (precision, models[precision].name)
        plan = models[precision].parent / "engines" / engine.file
        assert check_fresh(plan, sidecar_path(plan), sha256_file(models[precision])) == engine.sidecar
        assert engine.to_json() == {"file": engine.file, "source": engine.source}


def test_the_next_build_reuses_the_timing_cache(models: Mapping[str, Path], tmp_path: Path) -> None:
    told: list[str] = []
    names: list[str] = []
    shares: list[float] = []

    @contextmanager
    def track(name: str) -> Iterator[Progress]:
        names.append(name)
        yield lambda _phase, share: shares.append(share)

    for _ in range(2):
        make_engines(
            ["fp16"], models, tmp_path, SETTINGS, library="tensorrt_rtx", cache=tmp_path / "cache", track=track,
            say=told.append,
        )  # fmt: skip
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["tensorrt_rtx.timing"]
    assert told[0].endswith("timing cache new") and told[1].endswith("timing cache reused")
    assert "model.fp16.plan" in told[0] and "from model.fp16.onnx by TensorRT for RTX" in told[0]
    assert names == ["model.fp16.plan"] * 2 and shares[-1] == 1


@pytest.mark.parametrize("precision", list(ENGINE_SOURCES))
def test_what_ran_on_a_gpu_and_passes_ships(
    made: Mapping[str, MadeEngine], models: Mapping[str, Path], evidence: Evidence, precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stand_in(monkeypatch)
    gate = GATE if precision == "int8" else DEFAULT_GATES[precision]
    folder = models[precision].parent / "engines"
    verdict = prove_engine(made[precision], folder, models[precision], evidence, gate)
    assert (verdict.status, verdict.gpu) == ("shipped", GPU.name) and unmet([verdict]) is None
    told = verdict.to_json()
    assert told["passed"] is True and told["whole"]["images"] == 20 and set(told["batches"]) == {"1", "7"}
    assert (told["file"], told["source"]) == (made[precision].file, models[precision].name)


def test_what_answers_otherwise_is_rejected(
    made: Mapping[str, MadeEngine], models: Mapping[str, Path], evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, error=0.5)
    verdict = prove_engine(
        made["fp32"], models["fp32"].parent / "engines", models["fp32"], evidence, DEFAULT_GATES["fp32"]
    )
    assert verdict.status == "rejected" and "largest error" in verdict.reason and verdict.to_json()["passed"] is False
    ends = unmet([verdict])
    assert isinstance(ends, GateError) and "model.plan" in ends.message


def test_without_a_gpu_nothing_is_proved(
    made: Mapping[str, MadeEngine], models: Mapping[str, Path], evidence: Evidence
) -> None:
    if current_gpu() is not None:
        pytest.skip("there is a GPU")
    verdict = prove_engine(made["fp16"], models["fp16"].parent / "engines", models["fp16"], evidence, GATE)
    assert verdict.status == "not proved" and "torch finds none here" in verdict.reason
    told = verdict.to_json()
    assert told["passed"] is False and told["gpu"] is None and told["failures"] == [verdict.reason]
    assert isinstance(unmet([verdict]), UnavailableError)


def test_a_stale_or_damaged_engine_is_never_loaded(
    made: Mapping[str, MadeEngine], models: Mapping[str, Path], evidence: Evidence, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def never(*_arguments: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr("exporters.runtimes.tensorrt.TensorRTRuntime", never)
    folder = shutil.copytree(models["fp32"].parent / "engines", tmp_path / "engines")
    with pytest.raises(GateError, match="stale"):
        prove_engine(made["fp32"], folder, models["fp16"], evidence, GATE)
    (folder / "model.plan").write_bytes((folder / "model.plan").read_bytes()[:-1] + b"?")
    with pytest.raises(GateError, match="sha256"):
        prove_engine(made["fp32"], folder, models["fp32"], evidence, GATE)
    (folder / "model.fp16.plan.json").write_text("{}")
    with pytest.raises(GateError, match="not a sidecar"):
        prove_engine(made["fp16"], folder, models["fp16"], evidence, GATE)


class TestWithoutTensorRT:
    @pytest.fixture(autouse=True)
    def _none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("tensorrt", "tensorrt_rtx"):
            monkeypatch.setitem(sys.modules, name, None)

    def test_it_is_said_and_recorded(self, models: Mapping[str, Path], evidence: Evidence, tmp_path: Path) -> None:
        warnings: list[str] = []
        made = make_engines(["fp16", "int8"], models, tmp_path / "engines", SETTINGS, warn=warnings.append)
        assert len(warnings) == 1 and "not installed" in warnings[0] and not (tmp_path / "engines").exists()
        for precision, engine in made.items():
            assert "not installed" in engine.to_json()["not_made"]
            verdict = prove_engine(engine, tmp_path / "engines", models[precision], evidence, GATE)
            assert verdict.status == "not made" and "not installed" in verdict.to_json()["reason"]

    def test_what_is_required_ends_with_exit_4(self, models: Mapping[str, Path], tmp_path: Path) -> None:
        with pytest.raises(UnavailableError, match="not installed"):
            make_engines(["fp16"], models, tmp_path, SETTINGS, required=True)
        with pytest.raises(UnavailableError, match="not installed"):
            check_machine(SETTINGS)


def test_an_engine_that_cannot_be_built_is_said_and_the_others_are_made(
    models: dict[str, Path], tmp_path: Path
) -> None:
    warnings: list[str] = []
    wrong = {"fp16": models["fp32"], "fp32": models["fp32"]}
    asked = ["int8", "fp16", "fp32"]
    made = make_engines(asked, wrong, tmp_path, SETTINGS, library="tensorrt_rtx", warn=warnings.append)
    assert [bool(made[precision].not_made) for precision in asked] == [True, True, False]
    assert "model.int8.trt.onnx, which it is built from, could not be made" in warnings[0] and "not fp16" in warnings[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.plan", "model.plan.json"]
    for precision in asked[:2]:
        with pytest.raises(GateError):
            make_engines([precision], wrong, tmp_path, SETTINGS, library="tensorrt_rtx", required=True)


def test_settings_that_the_library_does_not_have(models: Mapping[str, Path], tmp_path: Path) -> None:
    settings = replace(SETTINGS, version_compatible=True)
    warnings: list[str] = []
    made = make_engines(["fp32"], models, tmp_path, settings, library="tensorrt_rtx", warn=warnings.append)
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
def test_what_could_not_be_proved_here_is_refused_early(
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
    made = make_engines(["fp32"], models, tmp_path, SETTINGS, library="tensorrt_rtx")
    assert made["fp32"].sidecar is not None and made["fp32"].sidecar["compute_capabilities"] == ["8.9"]


def test_a_file_and_its_engine_ship_together_or_stay_together() -> None:
    engine = MadeEngine("int8")
    shipped, unproved = EngineVerdict(engine, "shipped", "proved"), EngineVerdict(engine, "not proved", "no GPU")
    waiting, slow, rejected = (Verdict(status, "told") for status in ("not shipped", "not useful", "rejected"))
    assert settle(waiting, shipped).status == settle(slow, shipped).status == "shipped"
    assert "model.int8.trt.plan ships with it" in settle(slow, shipped).reason
    assert settle(waiting, unproved).status == "not shipped" and "not proved" in settle(waiting, unproved).reason
    assert settle(slow, unproved) == slow and settle(slow, None) == slow and settle(rejected, shipped) == rejected
    assert after_source(shipped, rejected).status == after_source(unproved, rejected).status == "rejected"
    assert after_source(shipped, slow) == after_source(shipped, None) == shipped
    ends = unmet([shipped, unproved, after_source(shipped, rejected)])
    assert isinstance(ends, GateError)  # what failed comes before what is missing


@pytest.mark.gpu
@pytest.mark.parametrize("precision", list(ENGINE_SOURCES))
def test_engines_pass_on_this_gpu(
    models: Mapping[str, Path], evidence: Evidence, precision: str, tmp_path: Path
) -> None:
    try:
        check_machine(SETTINGS)
    except UnavailableError as error:
        pytest.skip(error.message)
    library = find()
    made = make_engines([precision], models, tmp_path, SETTINGS, library=library.name, required=True)
    verdict = prove_engine(made[precision], tmp_path, models[precision], evidence, DEFAULT_GATES[precision])
    assert verdict.status == "shipped", verdict.reason
