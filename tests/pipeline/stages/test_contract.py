"""The contract with a teacher or a student from elsewhere: its file, its hash, its normalisation, its image size."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exporters.core.files import read_json, sha256_file
from exporters.student.student import load_student
from pipeline.models.weights import IMAGENET_MEAN, IMAGENET_STD
from pipeline.recipe import load_recipe
from pipeline.stages.distill import DistillStage
from pipeline.stages.registry import STAGES
from pipeline.stages.shared.inputs import read_data
from pipeline.stages.shared.networks import read_classifier, teacher_preprocessing
from pipeline.stages.teacher import TeacherStage
from tests.pipeline.conftest import Outcome, Run, run_command, set_
from tests.pipeline.stages.contexts import context_of

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
FORMS = ("raw", "wrapped", "safetensors")


def checkpoint(run: Run, form: str, folder: Path) -> Path:
    """The run's own teacher, saved in a common checkpoint form."""
    import torch
    from safetensors.torch import save_file

    state = load_student(run.directory / "teacher").module.state_dict()
    path = folder / ("net.safetensors" if form == "safetensors" else "net.pth")
    if form == "safetensors":
        save_file(state, path)
    elif form == "raw":
        torch.save(state, path)
    else:
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 200}, path)
    return path


def as_it_is(path: Path) -> dict[str, object]:
    return {"teacher.visual.weights": path, "teacher.visual.fit": "null"}


def teacher_top1(run: Run, mean: tuple[float, ...], std: tuple[float, ...], size: int) -> float:
    """The saved teacher's validation accuracy, its images resized by Pillow, in the test's own arithmetic."""
    import torch

    data = read_data(context_of(run))
    batch = next(data.loader.evaluation_batches("validation", data.geometry, 64))
    images = batch.images.numpy().astype(np.float32) / 255
    if size != images.shape[-1]:
        bands = [
            [np.asarray(Image.fromarray(b).resize((size, size), Image.Resampling.BICUBIC)) for b in image]
            for image in images
        ]
        images = np.clip(np.asarray(bands), 0, 1)
    scaled = (images - np.array(mean).reshape(3, 1, 1)) / np.array(std).reshape(3, 1, 1)
    with torch.no_grad():
        logits = load_student(run.directory / "teacher").module(torch.from_numpy(scaled).float())
    return float((logits.argmax(dim=1) == batch.labels).double().mean())


class TestFormats:
    @pytest.mark.parametrize("form", FORMS)
    def test_teacher_checkpoint_is_used_unchanged(self, run: Run, form: str, tmp_path: Path) -> None:
        before = load_student(run.directory / "teacher").module.state_dict()
        path = checkpoint(run, form, tmp_path)
        outcome = run(*set_(as_it_is(path)), "--until", "teacher")
        assert outcome.code == 0 and outcome.stages_run == ["teacher"], outcome.err
        after = load_student(run.directory / "teacher").module.state_dict()
        assert all(after[key].equal(before[key]) for key in before)
        report = read_json(run.directory / "teacher" / "report.json")
        assert (report["weights"], report["weights_sha256"]) == (path.name, sha256_file(path))

    @pytest.mark.parametrize("form", FORMS)
    def test_student_checkpoint_starts_training(self, run: Run, form: str, tmp_path: Path) -> None:
        path = checkpoint(run, form, tmp_path)
        # So low a rate leaves the weights as they were, but for what batch norm counts.
        values = {"student.weights": path, "train.lr": 1e-12, "train.epochs": 1, "distill.method": "ce"}
        outcome = run(*set_(values), "--until", "distill")
        assert outcome.code == 0 and "distill" in outcome.stages_run, outcome.err
        trained = load_student(run.directory / "distill" / "final").module.state_dict()
        for key, value in load_student(run.directory / "teacher").module.state_dict().items():
            if key.endswith(("weight", "bias")):
                np.testing.assert_allclose(trained[key].numpy(), value.numpy(), atol=1e-6)
        history = read_json(run.directory / "distill" / "history.json")
        assert (history["weights"], history["weights_sha256"]) == (path.name, sha256_file(path))

    @pytest.mark.parametrize(("section", "until"), [("teacher.visual", "teacher"), ("student", "distill")])
    @pytest.mark.parametrize("form", FORMS)
    def test_checkpoint_of_another_network_is_refused(
        self, run: Run, form: str, section: str, until: str, tmp_path: Path
    ) -> None:
        values = {f"{section}.weights": checkpoint(run, form, tmp_path), f"{section}.model": "cifar:resnet14"}
        outcome = run(*set_(values), "--until", until)
        assert outcome.code == 4 and "Traceback" not in outcome.err
        assert f"{section}: " in outcome.err and "does not fit" in outcome.err
        named = [f"missing layer1.1.{key}" for key in ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean",
                                                       "bn1.running_var")]  # fmt: skip
        assert "; ".join(named) + "; and " in outcome.err
        assert "layer1.1.conv2" not in outcome.err

    @pytest.mark.parametrize(("section", "until"), [("teacher.visual", "teacher"), ("student", "distill")])
    def test_file_without_a_checkpoint_is_refused(self, run: Run, section: str, until: str, tmp_path: Path) -> None:
        (tmp_path / "net.pth").write_text("<html>not found</html>")
        outcome = run(*set_({f"{section}.weights": tmp_path / "net.pth"}), "--until", until)
        assert outcome.code == 4 and "net.pth" in outcome.err and "Traceback" not in outcome.err


class TestHash:
    def test_the_lock_proves_the_weights_and_gives_the_same_run(self, run: Run, tmp_path: Path) -> None:
        path = checkpoint(run, "wrapped", tmp_path)
        assert run(*set_(as_it_is(path)), "--until", "distill").code == 0
        lock = run.directory / "recipe.lock.yaml"
        assert f"sha256: {sha256_file(path)}" in lock.read_text()
        own = tmp_path / "own.yaml"
        own.write_text(lock.read_text())
        recipe = load_recipe(run.recipe, [f"{key}={value}" for key, value in as_it_is(path).items()]).recipe
        locked = load_recipe(own).recipe
        assert locked.teacher.visual.sha256 == sha256_file(path) and recipe.teacher.visual.sha256 is None
        for stage in STAGES:
            assert stage.parameters(locked) == stage.parameters(recipe)
            assert stage.files(locked) == stage.files(recipe)
        again = run_command("run", own, "--run-dir", run.directory, "--until", "distill")
        assert again.code == 0 and again.stages_run == []

    @pytest.mark.parametrize("section", ["teacher.visual", "student"])
    def test_another_file_is_refused_before_it_is_loaded(self, run: Run, section: str, tmp_path: Path) -> None:
        path = checkpoint(run, "raw", tmp_path)
        expected = sha256_file(path)
        values = {f"{section}.weights": path, f"{section}.sha256": expected}
        path.write_bytes(b"no checkpoint at all")
        outcome = run(*set_(values), "--until", "teacher", "--force", "teacher")
        assert outcome.code == 4 and "Traceback" not in outcome.err
        assert f"{section}: {path}" in outcome.err or f"{section}.weights: {path}" in outcome.err
        assert f"expected sha256 {expected}, found {sha256_file(path)}" in outcome.err
        assert "epoch" not in outcome.out  # nothing was trained first
        assert run.record("teacher")["status"] == "done"  # and nothing that was finished is lost

    def test_a_finished_stage_is_not_reused_under_another_hash(self, run: Run, tmp_path: Path) -> None:
        values = as_it_is(checkpoint(run, "raw", tmp_path))
        assert run(*set_(values), "--until", "teacher").code == 0
        outcome = run(*set_({**values, "teacher.visual.sha256": "0" * 64}), "--until", "teacher")
        assert outcome.code == 4 and "expected sha256 " + "0" * 64 in outcome.err
        assert run(*set_(values), "--until", "teacher").stages_run == []

    def test_hash_of_an_embeddings_file_is_checked(self, run: Run, embeddings_file: Path) -> None:
        values = {"distill.weighting.by": "text", "teacher.text.weights": embeddings_file}
        right = {**values, "teacher.text.sha256": sha256_file(embeddings_file)}
        assert run(*set_(right), "--until", "text").code == 0
        report = read_json(run.directory / "text" / "report.json")
        assert report["weights_sha256"] == sha256_file(embeddings_file)
        wrong = run(*set_({**values, "teacher.text.sha256": "ab" * 32}), "--until", "text")
        assert wrong.code == 4 and "teacher.text.weights: " in wrong.err and "expected sha256 " + "ab" * 32 in wrong.err

    def test_hash_of_a_clip_checkpoint_is_checked(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "clip.safetensors"
        path.write_bytes((run.directory / "text" / "clip.safetensors").read_bytes())
        values = {"teacher.text.weights": path, "teacher.text.sha256": sha256_file(path)}
        outcome = run(*set_(values), "--until", "text")
        assert outcome.code == 0, outcome.err
        assert read_json(run.directory / "text" / "report.json")["weights_sha256"] == sha256_file(path)


class TestNormalisation:
    def test_student_normalisation_is_in_graph_and_bundle(self, run: Run) -> None:
        values = {
            "student.mean": list(CIFAR_MEAN),
            "student.std": list(CIFAR_STD),
            "distill.method": "ce",
            "train.epochs": 1,
        }
        outcome = run(*set_(values))
        assert outcome.code == 0, outcome.err
        bundle = run.directory / "bundle"
        stated = read_json(bundle / "preprocess.json")["normalisation"]
        assert (tuple(stated["mean"]), tuple(stated["std"])) == (CIFAR_MEAN, CIFAR_STD)
        assert outcome.stages_run[-1] == "bundle"  # parity was proved against a student that normalises so

        import onnxruntime
        import torch

        with np.load(bundle / "golden" / "inputs.npz") as arrays:
            images = arrays["image"]
        scaled = (images / 255 - np.array(CIFAR_MEAN)) / np.array(CIFAR_STD)
        student = load_student(run.directory / "distill" / "chosen").module
        with torch.no_grad():
            expected = student(torch.from_numpy(scaled.transpose(0, 3, 1, 2)).float()).numpy()
        session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], {"image": images})
        np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())

    def test_teacher_normalisation_is_used_and_saved(self, run: Run, tmp_path: Path) -> None:
        own = {"teacher.visual.mean": list(CIFAR_MEAN), "teacher.visual.std": list(CIFAR_STD)}
        values = as_it_is(checkpoint(run, "raw", tmp_path)) | own
        assert run(*set_(values), "--until", "teacher").code == 0
        saved = load_student(run.directory / "teacher").preprocessing
        assert (saved.mean, saved.std) == (CIFAR_MEAN, CIFAR_STD)
        report = read_json(run.directory / "teacher" / "report.json")
        assert report["validation"]["top1"] == pytest.approx(teacher_top1(run, CIFAR_MEAN, CIFAR_STD, 32))
        tapped = read_classifier(run.directory / "teacher")
        assert tapped.mean.flatten().tolist() == pytest.approx(CIFAR_MEAN)
        # The student's is its own affair.
        assert load_student(run.directory / "distill" / "chosen").preprocessing.mean == IMAGENET_MEAN

    def test_default_normalisation_spelt_out_changes_nothing(self, run: Run) -> None:
        """ImageNet's normalisation is the default: spelling it out gives the same teacher, bit for bit."""
        before = sha256_file(run.directory / "teacher" / "student.safetensors")
        own = {"teacher.visual.mean": list(IMAGENET_MEAN), "teacher.visual.std": list(IMAGENET_STD)}
        outcome = run(*set_(own), "--until", "distill")
        assert outcome.code == 0 and outcome.stages_run == ["teacher"]  # what follows finds the files that it knows
        assert sha256_file(run.directory / "teacher" / "student.safetensors") == before


class TestInterpolation:
    def test_interpolation_of_training_ships(self, run: Run) -> None:
        values = {"data.interpolation": "bicubic", "data.image_size": 24, "data.resize": 28, "distill.method": "ce",
                  "train.epochs": 1, "data.augment.crop": "random"}  # fmt: skip
        outcome = run(*set_(values))
        assert outcome.code == 0 and outcome.stages_run[-1] == "bundle", outcome.err
        bundle = run.directory / "bundle"
        assert read_json(bundle / "preprocess.json")["interpolation"] == "bicubic"
        data = read_data(context_of(run, **{key.replace(".", "__"): value for key, value in values.items()}))
        batch = next(data.loader.evaluation_batches("validation", data.geometry, 64))
        image = Image.open(run.data / "val" / "blue_bar" / "00.png").resize((28, 28), Image.Resampling.BICUBIC)
        expected = np.asarray(image.convert("RGB").crop((2, 2, 26, 26))).transpose(2, 0, 1)
        assert any(np.array_equal(own, expected) for own in batch.images.numpy())

    def test_every_stage_that_sees_images_depends_on_the_interpolation(self, run: Run) -> None:
        recipe = load_recipe(run.recipe, ["data.interpolation=bicubic"]).recipe
        dependent = {stage.name for stage in STAGES if "data.interpolation" in stage.parameters(recipe)}
        assert dependent >= {"teacher", "text", "fusion", "distill", "validate", "parity"}


class TestImageSize:
    def test_larger_teacher_keeps_its_size_through_every_stage(self, run: Run) -> None:
        values = {"teacher.visual.image_size": 48, "teacher.visual.fit.epochs": 2, "train.epochs": 1}
        outcome = run(*set_(values), "--until", "validate")
        assert outcome.code == 0, outcome.err
        assert outcome.stages_run == ["teacher", "fusion", "distill", "validate"]
        teacher = load_student(run.directory / "teacher")
        assert (teacher.preprocessing.size, teacher.preprocessing.interpolation) == (48, "bicubic")
        tapped = read_classifier(run.directory / "teacher")
        assert (tapped.image_size, tapped.shape.map_size) == (48, (12, 12))
        student = read_classifier(run.directory / "distill" / "chosen")
        assert (student.image_size, student.shape.map_size) == (32, (8, 8))
        top1 = teacher_top1(run, IMAGENET_MEAN, IMAGENET_STD, 48)
        report = read_json(run.directory / "teacher" / "report.json")
        assert report["validation"]["top1"] == pytest.approx(top1)  # the fit's measure, and the stage's
        assert top1 == max(row["validation_top1"] for row in report["history"])
        verdict = read_json(run.directory / "validate" / "verdict.json")
        assert verdict["teacher"]["validation"]["views"]["rgb"] == pytest.approx(top1)
        last = json.loads((run.directory / "metrics.jsonl").read_text().splitlines()[-1])
        assert last["loss_feature"] > 0 and last["loss_logits"] > 0

    def test_transformer_needs_its_own_image_size(self, run: Run) -> None:
        values = {
            "teacher.visual.model": "timm:vit_tiny_patch16_224",
            "teacher.visual.arguments": "{img_size: 48, patch_size: 8, depth: 1}",
            "teacher.visual.fit.epochs": 1, "train.epochs": 1, "distill.method": "kd",
        }  # fmt: skip
        refused = run(*set_(values), "--until", "teacher")
        assert refused.code == 2 and "32 × 32" in refused.err and "teacher.visual.image_size" in refused.err
        outcome = run(*set_({**values, "teacher.visual.image_size": 48}), "--until", "distill")
        assert outcome.code == 0 and outcome.stages_run == ["teacher", "fusion", "distill"], outcome.err

    def test_the_students_size_spelt_out_changes_nothing(self, run: Run) -> None:
        before = sha256_file(run.directory / "teacher" / "student.safetensors")
        outcome = run(*set_({"teacher.visual.image_size": 32}))
        assert outcome.code == 0, outcome.err
        assert outcome.stages_run == ["teacher", "bundle"]  # which quotes the recipe
        assert sha256_file(run.directory / "teacher" / "student.safetensors") == before

    @pytest.mark.parametrize(
        ("data", "own", "size", "resize"),
        [
            ((32, 32), None, 32, 32),
            ((64, 64), 224, 224, 224),
            ((224, 256), 112, 112, 128),
            ((16, 2048), 1024, 1024, 8192),
        ],
    )
    def test_teacher_preprocessing_has_its_own_size(
        self, data: tuple[int, int], own: int | None, size: int, resize: int
    ) -> None:
        values = {"data.image_size": data[0], "data.resize": data[1], "teacher.visual.image_size": own or "null"}
        recipe = load_recipe("quickstart", [f"{key}={value}" for key, value in values.items()]).recipe
        made = teacher_preprocessing(recipe, CIFAR_MEAN, CIFAR_STD)
        assert (made.size, made.resize, made.mean, made.std) == (size, resize, CIFAR_MEAN, CIFAR_STD)


def test_changed_baseline_and_weak_teacher_action_repeat_no_training(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    changed = load_recipe(run.recipe, ["student.baseline=0.5", "teacher.on_weak=fail"]).recipe
    plain = load_recipe(run.recipe).recipe
    for stage in (TeacherStage(), DistillStage()):
        assert stage.parameters(changed) == stage.parameters(plain)
