"""The whole way of a tiny recipe: what a run leaves behind, and what a second one repeats."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from exporters.core.files import read_json, sha256_file
from exporters.images.outputs import MARKER
from pipeline.recipe import load_recipe
from pipeline.runner.fingerprint import digest
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.names import STAGE_NAMES
from tests.pipeline.conftest import CLASSES, Outcome, Run, draw, run_command, set_, start_command

NOT_ASKED = {"baseline", "race", "reference"}  # by the tiny recipe
ALL = [name for name in STAGE_NAMES if name not in NOT_ASKED]


def flip_byte(path: Path, position: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


class TestWhatARunLeaves:
    def test_every_stage_has_a_folder_and_a_record_of_it(self, finished: tuple[Run, Outcome]) -> None:
        run, outcome = finished
        assert outcome.stages_run == ALL
        for stage in ALL:
            record = run.record(stage)
            assert record["stage"] == stage and record["status"] == "done" and record["message"] == ""
            assert record["fingerprint"] == digest(record["inputs"])
            assert record["seconds"] >= 0
            for name, sha256 in record["outputs"].items():
                assert sha256_file(run.directory / name) == sha256
            files = {path.relative_to(run.directory).as_posix() for path in (run.directory / stage).rglob("*")}
            listed = {name for name in files if (run.directory / name).is_file()}
            assert listed - set(record["outputs"]) == ({"data/location.json"} if stage == "data" else set())
        assert run.record("data")["summary"]["splits"]["train"]["images"] == 48

    def test_files_have_the_names_of_the_contract(self, finished: tuple[Run, Outcome]) -> None:
        run, _ = finished
        names = {path.name for path in run.directory.iterdir() if not path.name.startswith(".")}
        files = {"recipe.lock.yaml", "metrics.jsonl", "environment.json", "bundle.tar"}
        assert names == {*ALL, *files, "stages", "cache"}
        bundle = {p.relative_to(run.directory / "bundle").as_posix() for p in (run.directory / "bundle").rglob("*.*")}
        assert bundle == {
            "model.onnx", "preprocess.json", "labels.json", "golden/inputs.npz", "golden/outputs.npz", "parity.json",
            "benchmark.json", "manifest.json", "manifest.sha256", "MODEL_CARD.md", "sbom.cdx.json",
            "triton/tiny/config.pbtxt", "triton/tiny/1/model.onnx", "triton/tiny/labels.txt",
            "kserve/inference-service.yaml",
        }  # fmt: skip
        environment = read_json(run.directory / "environment.json")
        assert environment["packages"]["torch"] and environment["python"].startswith("3.")

    def test_no_checkpoint_or_temporary_file_remains(self, finished: tuple[Run, Outcome]) -> None:
        names = [path.name for path in finished[0].directory.rglob("*")]
        assert "checkpoint.pt" not in names
        assert sorted(name for name in names if name.startswith(".")) == [".lock", MARKER]

    def test_metrics_have_a_line_for_each_epoch(self, finished: tuple[Run, Outcome]) -> None:
        run, _ = finished
        lines = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
        assert [(line["stage"], line["epoch"]) for line in lines] == [
            ("teacher", 1), ("teacher", 2), ("teacher", 3), ("text", 1), ("distill", 1), ("distill", 2)
        ]  # fmt: skip
        last = lines[-1]
        terms = [last[f"loss_{term}"] for term in ("ce", "feature", "logits", "contrast")]
        assert last["loss"] == pytest.approx(sum(terms)) and min(terms) > 0
        assert 0 <= last["validation_top1"] <= 1 and last["lr"] == 0.05

    def test_the_lock_is_the_same_recipe(self, run: Run) -> None:
        lock = run.directory / "recipe.lock.yaml"
        locked, original = load_recipe(lock).recipe, load_recipe(run.recipe).recipe
        assert locked.model_copy(update={"lock": None}).resolved() == original.resolved()
        assert locked.lock is not None
        assert locked.lock.data == read_json(run.directory / "data" / "index.json")["fingerprint"]
        copy = run.directory.parent / "again.yaml"
        shutil.copy(lock, copy)
        outcome = run_command("run", copy, "--run-dir", run.directory)
        assert outcome.code == 0 and outcome.stages_reused == ALL

    def test_the_summary_compares_student_and_teacher(self, finished: tuple[Run, Outcome]) -> None:
        run, outcome = finished
        verdict = read_json(run.directory / "validate" / "verdict.json")
        summary = outcome.out[outcome.out.index("tiny: student against teacher") :]
        rows = [line.strip("│ \n").split("│") for line in summary.splitlines() if line.startswith("│")]
        table = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
        assert list(table)[:5] == [
            "teacher, view rgb", "teacher, view edge", "teacher, view high_frequency",
            "teacher, fused (label-free)", "teacher, fused (oracle)",
        ]  # fmt: skip
        for name, key in (("fused (label-free)", "fused"), ("fused (oracle)", "oracle")):
            shown = [f"{100 * verdict['teacher'][split][key]:.2f}" for split in ("validation", "test")]
            assert [cell.partition(" (")[0] for cell in table[f"teacher, {name}"][:2]] == shown
        chosen = next(values for name, values in table.items() if name.endswith("(chosen, ships)"))
        figures = verdict["student"]["chosen"]
        shown = [f"{100 * figures[split]['top1']:.2f}" for split in ("validation", "test")]
        assert [cell.partition(" (")[0] for cell in chosen[:2]] == shown
        assert chosen[2] == f"{read_json(run.directory / 'bundle' / 'manifest.json')['parameters']:,}"
        assert "tmkd-pipeline verify" in summary and "tmkd-pipeline predict" in summary and "parity on 12" in summary
        # Teachers are measured before training starts.
        assert outcome.out.index("Teacher accuracy before distillation") < outcome.out.index("student 1/2")


class TestReuse:
    def test_a_second_run_repeats_nothing_and_imports_no_torch(self, run: Run) -> None:
        before = {path: path.stat().st_mtime_ns for path in (run.directory / "bundle").rglob("*")}
        code = (
            "import sys\nfrom pipeline.__main__ import main\n"
            "try:\n    main()\nexcept SystemExit as end:\n    print('code', end.code)\n"
            "heavy = {'torch', 'torchvision', 'onnx', 'onnxruntime', 'timm', 'open_clip', 'lightning_fabric'}\n"
            "print('imported', sorted(heavy & set(sys.modules)))\n"
        )
        process = start_command("run", run.recipe, "--run-dir", run.directory, code=code)
        out, err = process.communicate(timeout=120)
        assert out.splitlines()[-2:] == ["code 0", "imported []"], out + err
        assert Outcome(0, out, err).stages_reused == ALL
        assert "student against teacher" in out
        assert before == {path: path.stat().st_mtime_ns for path in (run.directory / "bundle").rglob("*")}

    def test_plan_names_what_changed(self, run: Run) -> None:
        planned = run.plan()
        assert {stage for stage, (action, _) in planned.items() if action == "reuse"} == set(ALL)
        assert {stage for stage, (action, _) in planned.items() if action == "skip"} == NOT_ASKED
        changed = run.plan({"train.epochs": 3, "train.lr": 0.1})
        assert [changed[stage][0] for stage in ("data", "teacher", "text", "distill")] == ["reuse"] * 3 + ["run"]
        assert changed["distill"][1] == "train.epochs was 2, is 3; train.lr was 0.05, is 0.1"
        assert changed["validate"] == ("wait", "is reused if distill gives the same files")
        # The whole recipe is in the manifest, so that the bundle is made again whatever comes before it.
        assert changed["bundle"][0] == "run" and "train.epochs was 2, is 3" in changed["bundle"][1]

    def test_plan_gives_reasons_of_stages_behind_one_that_runs(self, run: Run) -> None:
        changed = run.plan({"train.epochs": 3, "export.onnx.opset": 19})
        assert changed["export"] == ("run", "export.onnx.opset was 20, is 19")
        assert changed["parity"] == ("wait", "is reused if distill and export give the same files")

    def test_force_runs_a_stage_and_what_its_files_change(self, run: Run) -> None:
        assert run.plan(force="export")["export"] == ("run", "forced")
        outcome = run("--force", "export")
        assert outcome.code == 0
        assert outcome.stages_run == ["export"]  # the file is the same to the bit, so nothing follows
        assert outcome.heading("export") == "── export: forced"

    def test_until_stops_after_a_stage(self, run: Run, tmp_path: Path) -> None:
        outcome = run_command("run", run.recipe, "--run-dir", tmp_path / "new", "--until", "data")
        assert outcome.code == 0 and outcome.stages_run == ["data"]
        assert "Stopped after data, as asked." in outcome.out
        assert {path.name for path in (tmp_path / "new").iterdir()} == {
            ".lock", MARKER, "data", "stages", "recipe.lock.yaml", "environment.json"
        }  # fmt: skip
        assert run("--until", "export").stages_reused == ALL[:7]

    def test_damaged_student_is_trained_again_to_the_same_bits(self, run: Run) -> None:
        weights = run.directory / "distill" / "chosen" / "student.safetensors"
        sha256 = sha256_file(weights)
        flip_byte(weights)
        assert run.plan()["distill"] == ("run", "distill/chosen/student.safetensors was changed")
        outcome = run()
        assert outcome.code == 0 and outcome.stages_run == ["distill"]
        assert "distill/chosen/student.safetensors was changed" in outcome.heading("distill")
        assert sha256_file(weights) == sha256

    @pytest.mark.parametrize(("stage", "name"), [("data", "data/index.npz"), ("bundle", "bundle.tar")])
    def test_missing_output_runs_its_stage_again(self, run: Run, stage: str, name: str) -> None:
        (run.directory / name).unlink()
        assert run.plan()[stage] == ("run", f"{name} is missing")
        outcome = run()
        assert outcome.code == 0 and outcome.stages_run == [stage]
        assert (run.directory / name).is_file()

    def test_stage_without_a_record_runs_again(self, run: Run) -> None:
        (run.directory / "stages" / "parity.json").write_text("{")
        assert run.plan()["parity"] == ("run", "its record cannot be read")
        (run.directory / "stages" / "parity.json").unlink()
        assert run.plan()["parity"] == ("run", "it has not run yet")
        assert run().stages_run == ["parity"]

    def test_another_version_of_a_stage_runs_again(self, run: Run) -> None:
        path = run.directory / "stages" / "parity.json"
        record = read_json(path)
        record["inputs"] |= {"code": "0" * 64, "python": "3.0"}
        record["fingerprint"] = digest(record["inputs"])
        path.write_text(json.dumps(record))
        assert run.plan()["parity"] == ("run", "its code changed; Python changed")


class TestData:
    def test_moved_data_are_read_again_and_nothing_else(self, own_data: Run) -> None:
        outcome = own_data()
        assert outcome.code == 0 and outcome.stages_reused == ALL, outcome.out

    def test_touched_files_are_read_again_and_nothing_else(self, own_data: Run) -> None:
        own_data("--until", "parity")
        for path in own_data.data.rglob("*.png"):
            os.utime(path, (1_000_000_000, 1_000_000_000))
        assert own_data.plan()["data"] == ("run", "the image files changed (names, sizes or times)")
        outcome = own_data("--until", "parity")
        assert outcome.code == 0 and outcome.stages_run == ["data"]

    def test_changed_content_reaches_every_stage(self, own_data: Run) -> None:
        path = own_data.data / "train" / CLASSES[0] / "00.png"
        draw(CLASSES[0], 77).save(path)
        assert own_data.plan()["data"][0] == "run"
        assert own_data.plan()["teacher"] == ("wait", "is reused if data gives the same files")
        assert own_data("--until", "data").stages_run == ["data"]
        planned = own_data.plan()
        for stage in ("teacher", "text", "distill", "validate", "parity", "bundle"):
            assert planned[stage][0] == "run" and "data changed" in planned[stage][1]

    def test_a_damaged_index_is_named(self, run: Run) -> None:
        # Between two stages of one run; a run that begins anew makes the index again.
        flip_byte(run.directory / "data" / "index.npz", 200)
        from exporters.core.errors import UnavailableError
        from pipeline.data.index import DataIndex

        with pytest.raises(UnavailableError, match="--force data"):
            DataIndex.load(run.directory / "data")


class TestGates:
    def test_changed_gate_repeats_the_verdict_and_later_stages(self, run: Run) -> None:
        outcome = run(*set_({"validate.min_top1": 0.05}), "--until", "parity")
        assert outcome.code == 0
        assert outcome.stages_run == ["validate", "export"] and outcome.stages_reused[-1] == "parity"
        assert run.plan({"validate.min_top1": 0.05})["bundle"][0] == "run"
        assert outcome.heading("validate") == "── validate: validate.min_top1 was 0.0, is 0.05"
        assert "validate.min_top1" in outcome.out and "needed at least 0.05" in outcome.out

    def test_a_student_that_fails_does_not_ship(self, run: Run) -> None:
        outcome = run(*set_({"validate.min_top1": 1.0}))
        assert outcome.code == 3
        assert "validate.min_top1" in outcome.err and "FAILED" in outcome.err and "verdict.json" in outcome.err
        assert not (run.directory / "bundle").exists() and not (run.directory / "bundle.tar").exists()
        record = run.record("validate")
        assert record["status"] == "failed" and "does not pass" in record["message"]
        verdict = read_json(run.directory / "validate" / "verdict.json")
        assert verdict["passed"] is False and verdict["gates"][0]["bound"] == 1.0
        planned = run.plan({"validate.min_top1": 1.0})
        assert planned["validate"][0] == "fail"
        assert "nothing that it follows from has changed; the student does not pass: " in planned["validate"][1]
        assert "Train longer, or loosen a gate that asks too much." in planned["validate"][1]
        assert {planned[stage] for stage in ("export", "parity", "bundle")} == {
            ("wait", "is not reached while validate fails")
        }
        assert run(*set_({"validate.min_top1": 1.0})).code == 3

        # Asking for less brings the bundle back; the model is the same, so that parity stands.
        again = run()
        assert again.code == 0 and again.stages_run == ["validate", "bundle"]
        assert (run.directory / "bundle.tar").is_file()

    def test_file_that_is_too_large_or_too_slow_is_not_packed(self, run: Run) -> None:
        size = (run.directory / "export" / "model.onnx").stat().st_size
        outcome = run(*set_({"validate.max_size_mb": size / 2e6, "validate.max_latency_ms": 1e-6}))
        assert outcome.code == 3 and outcome.stages_run == ["bundle"]
        assert f"validate.max_size_mb FAILED: {size / 1e6:.4f}, needed at most" in outcome.err
        assert "validate.max_latency_ms FAILED" in outcome.err
        assert not (run.directory / "bundle").exists() and not (run.directory / "bundle.tar").exists()
        outcome = run(*set_({"validate.max_size_mb": size / 1e6, "validate.max_latency_ms": 60_000}))
        assert outcome.code == 0 and outcome.stages_run == ["bundle"]
        assert [gate["passed"] for gate in run.record("bundle")["summary"]["gates"]] == [True, True]

    def test_a_file_that_is_not_the_student_does_not_ship(self, run: Run) -> None:
        outcome = run(*set_({"parity.fp32.max_scaled_error": 1e-12}))
        assert outcome.code == 3 and outcome.stages_run == ["parity"]
        assert "model.onnx is not the student" in outcome.err
        assert not (run.directory / "bundle").exists() and not (run.directory / "bundle.tar").exists()
        report = read_json(run.directory / "parity" / "parity.json")["fp32"]
        assert report["passed"] is False and report["whole"]["images"] == 12
        assert run.record("parity")["status"] == "failed"


class TestMethods:
    def test_ce_needs_no_teacher(self, run: Run) -> None:
        outcome = run(*set_({"distill.method": "ce"}))
        assert outcome.code == 0, outcome.err
        assert outcome.stages_run == ["distill", "validate", "export", "parity", "bundle"]
        assert [run.record(stage)["status"] for stage in ("teacher", "text")] == ["done", "done"]  # of the run before
        manifest = read_json(run.directory / "bundle" / "manifest.json")
        assert manifest["facts"]["teacher"] == {} and "Method: ce." in manifest["facts"]["provenance"]
        assert read_json(run.directory / "validate" / "verdict.json")["teacher"] is None
        assert "teacher, view" not in outcome.out
        assert run.plan({"distill.method": "ce"})["teacher"][0] == "skip"
        # With the teacher as a yardstick it is fitted all the same.
        gated = {"distill.method": "ce", "validate.max_drop_from_teacher": 1.0}
        assert run.plan(gated)["teacher"][0] == "reuse"
        # And back: nothing of the teachers is done again.
        assert [run.plan()[stage][0] for stage in ("teacher", "text", "distill")] == ["reuse", "reuse", "run"]

    @pytest.mark.parametrize("method", ["kd", "cat_kd"])
    def test_methods_without_text_skip_the_text_stage(self, run: Run, method: str) -> None:
        outcome = run(*set_({"distill.method": method}), "--until", "distill")
        assert outcome.code == 0, outcome.err
        assert outcome.stages_run == ["fusion", "distill"] and run.plan({"distill.method": method})["text"][0] == "skip"
        teacher = read_json(run.directory / "fusion" / "accuracy.json")
        assert list(teacher["validation"]["views"]) == ["rgb"]
        first = json.loads((run.directory / "metrics.jsonl").read_text().splitlines()[-1])
        assert {key for key in first if key.startswith("loss_")} == {
            "kd": {"loss_ce", "loss_logits"}, "cat_kd": {"loss_ce", "loss_feature"}
        }[method]  # fmt: skip

    @pytest.mark.parametrize("by", ["uniform", "teacher_confidence", "text"])
    def test_tmkd_runs_without_an_image_tower(self, run: Run, by: str, embeddings_file: Path) -> None:
        values = {"distill.weighting.by": by, "teacher.text.weights": embeddings_file}
        outcome = run(*set_(values), "--until", "distill")
        assert outcome.code == 0, outcome.err
        assert outcome.stages_run == ["text", "fusion", "distill"]
        assert not (run.directory / "text" / "clip.safetensors").exists()
        weights = read_json(run.directory / "fusion" / "accuracy.json")["validation"]["mean_weights"]
        assert sum(weights.values()) == pytest.approx(1) and len(weights) == 3
        if by != "teacher_confidence":  # one row of embeddings for all views tells them apart no more than nothing
            assert list(weights.values()) == pytest.approx([1 / 3] * 3)

    def test_a_changed_embeddings_file_is_noticed(self, run: Run, embeddings_file: Path, tmp_path: Path) -> None:
        own = tmp_path / "own.npz"
        shutil.copy(embeddings_file, own)
        values = {"distill.weighting.by": "uniform", "teacher.text.weights": own}
        assert run(*set_(values), "--until", "text").code == 0
        assert run.plan(values)["text"][0] == "reuse"
        np.savez(own, embeddings=np.eye(3, 4, dtype=np.float32), class_names=list(CLASSES))
        assert run.plan(values)["text"] == ("run", "own.npz changed")

    def test_a_new_seed_keeps_split_and_teachers(self, run: Run) -> None:
        planned = run.plan({"seed": 4})
        assert [planned[stage][0] for stage in ALL[:5]] == ["reuse"] * 4 + ["run"]
        planned = run.plan({"data.split_seed": 4})
        assert [planned[stage][0] for stage in ("data", "teacher", "text")] == ["run"] * 3


class TestDirectories:
    def test_directory_held_by_another_run_is_refused(self, run: Run) -> None:
        with RunDirectory(run.directory).held():
            outcome = run()
        assert outcome.code == 4
        assert f"is held by another run (process {os.getpid()})" in outcome.err and "--run-dir" in outcome.err
        assert run().code == 0

    def test_unwritable_directory_is_refused(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for directory in (tmp_path / "file", tmp_path / "file" / "below"):
            outcome = run_command("run", run.recipe, "--run-dir", directory)
            assert outcome.code == 4 and "cannot be written" in outcome.err and "--run-dir" in outcome.err

    def test_foreign_directory_is_left_alone(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "home" / "data").mkdir(parents=True)
        (tmp_path / "home" / "data" / "precious.txt").write_text("kept")
        outcome = run_command("run", run.recipe, "--run-dir", tmp_path / "home")
        assert outcome.code == 2 and "no run directory" in outcome.err
        assert [path.name for path in (tmp_path / "home").rglob("*")] == ["data", "precious.txt"]
