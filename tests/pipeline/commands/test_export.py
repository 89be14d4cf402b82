"""`tmkd-pipeline export`: what it prints and writes, and that every mistake is one clear error."""

import os
import shutil
import signal
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from exporters.core.files import read_json  # noqa: E402
from exporters.parity import DEFAULT_GATES, ParityGate  # noqa: E402
from exporters.student.architectures import Architecture, build  # noqa: E402
from pipeline.console import Bar, Console  # noqa: E402
from pipeline.recipe.schema.parity import ParitySettings  # noqa: E402
from tests.pipeline.conftest import CLASSES, Outcome, Run, draw, run_command, start_command, wait_for  # noqa: E402


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of a ResNet-8 with 5 classes, saved as anyone might."""
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.manual_seed(0)
    torch.save({"state_dict": build(Architecture("resnet8", "cifar"), 5).state_dict()}, path)
    return path


def export(checkpoint: Path, out: Path, *arguments: object) -> Outcome:
    return run_command("export", checkpoint, "--out", out, *arguments)


NETWORK = ["--model", "resnet8", "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2"]


def test_default_gates_match_those_of_a_recipe() -> None:
    parity = ParitySettings()
    for precision, gate in DEFAULT_GATES.items():
        assert ParityGate(**getattr(parity, precision).model_dump()) == gate


def test_run_directory_is_exported_in_every_precision_and_form(finished: tuple[Run, Outcome], tmp_path: Path) -> None:
    run, _ = finished
    outcome = export(
        run.directory, tmp_path, "--data", run.data / "test", "--calibration", run.data / "train",
        "--precision", "fp32,fp16", "--precision", "int8", "--keep", "all", "--any-size", "--probabilities",
        "--temperature", 1.7,
    )  # fmt: skip
    assert outcome.code == 0, outcome.out + outcome.err
    models = ["model.onnx", "model.fp16.onnx", "model.int8.onnx"]
    assert outcome.out.splitlines()[-1] == f"exported to {tmp_path}: {', '.join(models)}"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*models, "audit.json", "labels.json", "parity.json", "preprocess.json"]
    )
    parity, audit = read_json(tmp_path / "parity.json"), read_json(tmp_path / "audit.json")
    image = draw(CLASSES[0], 5, size=57)
    for precision, file in zip(("fp32", "fp16", "int8"), models, strict=True):
        report = parity[precision]
        assert report["passed"] and report["whole"]["images"] == 24 and report["resize"]["passed"]
        assert report["any_size"]["images"] == 24
        assert report["probabilities"]["max_difference"] <= report["probabilities"]["bound"]
        assert audit[precision]["file"] == file
        session = onnxruntime.InferenceSession(str(tmp_path / file), providers=["CPUExecutionProvider"])
        logits, probabilities = session.run(["logits", "probabilities"], {"image": np.asarray(image)[None]})
        exponentials = np.exp((logits.astype(np.float64) - logits.max()) / 1.7)
        np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(), atol=1e-6)
        assert report["probabilities"]["temperature"] == 1.7
    assert "try 1 on 24 images" in outcome.out and "the original model: accuracy" in outcome.out


def test_every_step_is_shown_as_it_begins(
    finished: tuple[Run, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = finished
    shown: list[tuple[str, int | None]] = []
    track = Console.track

    def recorded(console: Console, description: str, total: int | None, **options: str) -> AbstractContextManager[Bar]:
        shown.append((description, total))
        return track(console, description, total, **options)

    monkeypatch.setattr(Console, "track", recorded)
    arguments = ["--data", run.data / "test", "--calibration", run.data / "train", "--precision", "int8"]
    outcome = export(run.directory, tmp_path, *arguments)
    assert outcome.code == 0, outcome.err
    order = list(dict.fromkeys(shown))
    assert order[:4] == [
        ("export", None), ("loading the network", None), ("model.onnx: being converted", None),
        ("model.onnx: every number is looked up in the student", None),
    ]  # fmt: skip
    rest = [("images", 24), ("model.int8.onnx", None), ("calibrating", None), ("calibration images", 48),
            ("try 1 of at most 16", None)]  # fmt: skip
    assert [entry for entry in order if entry in rest] == rest


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--precision", "fp8"], "'fp8' is not one of fp32, fp16, int8"),
        (["--precision", ","], "nothing is not one of"),
        (["--to", "coreml"], "'coreml' is not one of onnx, tensorrt"),
        (["--precision", "int8"], "--calibration is missing"),
        (["--precision", "int8", "--calibration", "{data}"], "--data is missing"),
        (["--calibration", "{data}"], "--calibration is for int8"),
        (["--calibration-images", "64"], "--calibration-images needs --calibration, which is missing"),
        (["--precision", "int8", "--calibration", "{data}", "--calibration-images", "3"], "8 are the least"),
        (["--require", "fp16"], "no such ONNX file is asked for"),
        (["--batch", "1,16,64"], "--batch is for engines"),
        (["--tensorrt", "available"], "--tensorrt is for engines"),
        (["--compute-capability", "8.9"], "--compute-capability is for engines"),
        (["--to", "tensorrt", "--batch", "1,2"], "is not three whole numbers"),
        (["--to", "tensorrt", "--batch", "4,2,1"], "out of order"),
        (["--provider", "tpu"], "invalid value for '--provider'"),
    ],
)
def test_invalid_command_lines_are_refused(
    weights: Path, tiny_data: Path, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    filled = [argument.format(data=tiny_data / "train") for argument in arguments]
    outcome = export(weights, tmp_path / "out", *NETWORK, *filled)
    assert outcome.code == 2, outcome.out + outcome.err
    assert expected in " ".join(outcome.err.split()) and "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


TIMM = ["--model", "timm:test_resnet", "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2"]


@pytest.mark.parametrize(
    ("arguments", "code", "problem", "remedy"),
    [
        ([*TIMM, "--model-arg", "in_chans=1"], 2, "takes images of 1 channel, not of 3", "in_chans"),
        ([*TIMM, "--model-arg", "features_only=true"], 2, "has no classifier", "features_only"),
        ([*TIMM, "--model-arg", "stem_width=x"], 2, "cannot be built with {'stem_width': 'x'}", "arguments"),
        ([*TIMM[:2], "--mean", "127,127,127", "--std", "50,50,50"], 2, "--mean: [127, 127, 127]", "divided by 255"),
        ([*TIMM[:4], "--std", "50,50,50"], 2, "--std: [50, 50, 50]", "std 0.1961,0.1961,0.1961"),
        ([*TIMM[:4], "--std", "0,0.2,0.2"], 2, "must be above zero", "training images"),
        ([*TIMM, "--labels", "{folder}/twice.txt"], 2, "the label 'b' stands on lines 2 and 4", "one name"),
        ([*TIMM, "--labels", "{folder}/labels.doc"], 2, "not a file of labels by its name", ".yaml"),
        ([*TIMM, "--labels", "{folder}/none.csv"], 4, "no such labels file", "path"),
        ([*TIMM, "--weights-key", "ema"], 4, "no weights at 'ema', which --weights-key names", "model_ema, state_dict"),
    ],
)
def test_bad_input_is_one_clear_error(
    tmp_path: Path, arguments: list[str], code: int, problem: str, remedy: str
) -> None:
    torch.manual_seed(0)
    builder = {"in_chans": 1} if "in_chans=1" in arguments else {}
    state = build(Architecture("test_resnet", "timm", builder), 5).state_dict()
    torch.save({"model_ema": state, "state_dict": state}, tmp_path / "net.pth.tar")
    (tmp_path / "twice.txt").write_text("a\nb\nc\nb\ne\n")
    (tmp_path / "labels.doc").write_text("a\nb\nc\nd\ne\n")
    filled = [argument.replace("{folder}", str(tmp_path)) for argument in arguments]
    outcome = export(tmp_path / "net.pth.tar", tmp_path / "out", *filled)
    assert_one_error(outcome, code, problem)
    assert remedy in outcome.err and not (tmp_path / "out").exists()


def assert_one_error(outcome: Outcome, code: int, message: str) -> None:
    assert outcome.code == code, outcome.out + outcome.err
    assert outcome.err.startswith("error: ") and outcome.err.count("error: ") == 1
    assert message in outcome.err and "Traceback" not in outcome.err


class TestWhatIsMissing:
    def test_checkpoint_of_another_network_is_refused(self, weights: Path, tmp_path: Path) -> None:
        outcome = export(weights, tmp_path / "out", "--model", "cifar:resnet20", *NETWORK[2:])
        assert_one_error(outcome, 4, str(weights))
        outcome = export(weights, tmp_path / "out", "--model", "resnet18")
        assert_one_error(outcome, 4, str(weights))
        assert not (tmp_path / "out").exists()

    def test_folder_without_images_is_refused(self, weights: Path, tiny_data: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for folder, problem in ((tmp_path / "empty", ": no images"), (tmp_path / "absent", " does not exist")):
            assert_one_error(export(weights, tmp_path / "out", *NETWORK, "--data", folder), 4, f"{folder}{problem}")
            calibrated = ["--precision", "int8", "--data", tiny_data / "test", "--calibration", folder]
            assert_one_error(export(weights, tmp_path / "out", *NETWORK, *calibrated), 4, f"{folder}{problem}")

    def test_calibration_on_proof_images_is_refused(self, weights: Path, tiny_data: Path, tmp_path: Path) -> None:
        calibrated = ["--precision", "int8", "--data", tiny_data / "val", "--calibration", tiny_data / "val"]
        outcome = export(weights, tmp_path / "out", *NETWORK, *calibrated)
        assert_one_error(outcome, 4, "of the images to prove on (--data) are those of the calibration")
        assert str(tiny_data / "val" / CLASSES[0]) in outcome.err

    def test_unreadable_image_is_refused(self, weights: Path, tmp_path: Path) -> None:
        images = tmp_path / "images"
        images.mkdir()
        draw(CLASSES[0], 1).save(images / "good.png")
        (images / "bad.jpg").write_bytes(b"no image")
        outcome = export(weights, tmp_path / "out", *NETWORK, "--data", images)
        assert_one_error(outcome, 4, f"{images / 'bad.jpg'}: the image cannot be read")
        assert not list((tmp_path / "out").iterdir())

    def test_unavailable_provider_is_refused(self, weights: Path, tmp_path: Path) -> None:
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("it may be here")
        outcome = export(weights, tmp_path / "out", *NETWORK, "--provider", "cuda")
        assert_one_error(outcome, 4, "ONNX Runtime has no CUDAExecutionProvider here")
        assert not list((tmp_path / "out").iterdir())

    def test_file_in_place_of_the_output_folder_is_refused(self, weights: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        outcome = export(weights, tmp_path / "file", *NETWORK)
        assert_one_error(outcome, 4, str(tmp_path / "file"))
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_unwritable_output_folder_is_refused(self, weights: Path, tmp_path: Path) -> None:
        (tmp_path / "locked").mkdir(mode=0o500)
        assert_one_error(export(weights, tmp_path / "locked", *NETWORK), 4, "Permission denied")


def test_failed_gate_leaves_only_rejected_files(
    finished: tuple[Run, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = finished
    data = tmp_path / "data"
    shutil.copytree(run.data / "val", data)
    strict = {**DEFAULT_GATES, "fp32": ParityGate(0.0, 1.0, 0.0)}
    monkeypatch.setattr("exporters.command.task.DEFAULT_GATES", strict)
    outcome = export(run.directory, tmp_path / "out", "--data", data)
    assert_one_error(outcome, 3, "model.onnx is not the student")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rejected"]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom pipeline.__main__ import main\n"
        "sys.argv = ['tmkd-pipeline', 'export', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n"
        "    print('ENDED', end.code, sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))\n"
    )
    out, err = start_command(code=code).communicate(timeout=120)
    assert "ENDED 0 []" in out, out + err
    for option in ("--to", "--precision", "--calibration", "--tensorrt", "--batch", "--require", "--provider"):
        assert option in out


def test_other_commands_take_the_bundle_of_an_export(finished: tuple[Run, Outcome], tmp_path: Path) -> None:
    run, _ = finished
    outcome = export(run.directory, tmp_path, "--data", run.data / "test", "--bundle")
    assert outcome.code == 0, outcome.out + outcome.err
    bundle = tmp_path / "bundle"
    assert f"next: tmkd-pipeline verify {bundle}\n" in outcome.out and (tmp_path / "bundle.tar").is_file()
    verification = run_command("verify", bundle, "--data", run.data / "test")
    assert verification.code == 0 and "exactly those of the proof split" in verification.out
    assert run_command("predict", bundle, next((run.data / "test").rglob("*.png"))).code == 0
    verification = run_command("verify", tmp_path)
    assert verification.code == 0 and f"{bundle}: verified" in verification.out
    outcome = export(run.directory, tmp_path, "--data", run.data / "test")
    assert outcome.code == 0 and "with --bundle" in outcome.out
    verification = run_command("verify", tmp_path)
    assert (
        verification.code == 2
        and "folder of an export, not a bundle" in verification.err
        and "--bundle" in verification.err
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_export_leaves_nothing(weights: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    out = tmp_path / "out"
    process = start_command("export", weights, "--out", out, *NETWORK)
    wait_for(lambda: bool(list(out.glob(".export-*"))), process)
    process.send_signal(number)
    output, err = process.communicate(timeout=120)
    assert process.returncode == code, output + err
    assert "\n" not in err.strip() and "nothing is half-written" in err and "cannot be exported" not in err
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--probabilities", "--temperature", 0), "--temperature is a number from 0.05 to 20, not 0.0"),
        (("--probabilities", "--temperature", "nan"), "--temperature is a number from 0.05 to 20, not nan"),
        (("--temperature", 2), "--temperature has no effect here"),
    ],
)
def test_temperature_that_cannot_be_used_is_refused(
    finished: tuple[Run, Outcome], tmp_path: Path, arguments: tuple[object, ...], told: str
) -> None:
    outcome = export(finished[0].directory, tmp_path / "out", *arguments)
    assert outcome.code == 2 and told in outcome.err
    assert not (tmp_path / "out").exists()
