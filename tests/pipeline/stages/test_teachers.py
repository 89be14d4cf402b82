"""The stages `teacher` and `text`: what is fitted, what is loaded, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from exporters.core.files import read_json, sha256_file
from exporters.student.student import load_student
from pipeline.recipe import load_recipe
from pipeline.stages.distill import DistillStage
from pipeline.stages.shared.inputs import read_anchors, read_data, read_text_teacher
from pipeline.stages.teacher import TeacherStage, weights_file
from pipeline.stages.text import TextStage
from pipeline.tmkd.prompts import Prompts, encode_prompts, encode_random_prompts
from tests.pipeline.conftest import CLASSES, Outcome, Run, run_command, set_
from tests.pipeline.stages.contexts import context_of


class TestTeacher:
    def test_the_saved_teacher_is_the_one_that_was_measured(self, finished: tuple[Run, Outcome]) -> None:
        import torch

        run, outcome = finished
        report = read_json(run.directory / "teacher" / "report.json")
        teacher = load_student(run.directory / "teacher")
        assert teacher.labels == ["blue bar", "green square", "red disc"]
        assert report["parameters"] == sum(p.numel() for p in teacher.module.parameters())
        assert (report["weights"], report["weights_sha256"], report["fitted"]) == ("none", None, True)
        data = read_data(context_of(run))
        batch = next(data.loader.evaluation_batches("validation", data.geometry, 64))
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (teacher.preprocessing.mean, teacher.preprocessing.std))
        with torch.no_grad():
            logits = teacher.module((batch.images / 255 - mean) / std)
        top1 = float((logits.argmax(dim=1) == batch.labels).double().mean())
        assert top1 == pytest.approx(report["validation"]["top1"])
        assert f"validation top-1 {100 * top1:.2f} %" in outcome.out
        # The pass that was best on validation is kept, not the last.
        assert top1 == max(row["validation_top1"] for row in report["history"]) and len(report["history"]) == 3
        assert top1 > 0.5

    def test_a_teacher_of_a_file_is_used_as_it_is(self, run: Run) -> None:
        own = run.directory.parent / "teacher.safetensors"
        (run.directory / "teacher" / "student.safetensors").rename(own)
        values = {"teacher.visual.weights": own, "teacher.visual.fit": "null"}
        outcome = run(*set_(values), "--until", "teacher")
        assert outcome.code == 0 and outcome.stages_run == ["teacher"] and "images/s" not in outcome.out
        report = read_json(run.directory / "teacher" / "report.json")
        assert report["fitted"] is False and report["history"] == []
        assert (report["weights"], report["weights_sha256"]) == (own.name, sha256_file(own))
        own_weights, saved = load_file(own), load_file(run.directory / "teacher" / "student.safetensors")
        assert all(np.array_equal(own_weights[key], saved[key]) for key in own_weights)
        # Another content under the same name is noticed.
        recipe = load_recipe(run.recipe, [f"{key}={value}" for key, value in values.items()]).recipe
        assert TeacherStage().files(recipe) == {own.name: sha256_file(own)}

    def test_weights_that_are_not_there_or_do_not_fit(self, run: Run, tmp_path: Path) -> None:
        values = {"teacher.visual.weights": tmp_path / "absent.pth"}
        outcome = run(*set_(values), "--until", "teacher")
        assert outcome.code == 4 and "absent.pth" in outcome.err
        student = run.directory / "distill" / "chosen" / "student.safetensors"
        values = {"teacher.visual.weights": student, "teacher.visual.model": "cifar:resnet14"}
        outcome = run(*set_(values), "--until", "teacher")
        assert outcome.code == 4 and "does not fit" in outcome.err and "Traceback" not in outcome.err

    def test_a_teacher_under_foreign_keys_is_proved_or_refused(self, run: Run, tmp_path: Path) -> None:
        import torch

        from exporters.student.student import load_student

        own = load_student(run.directory / "teacher").module.state_dict()
        right = {f"_{key}": value for key, value in own.items() if not key.endswith("num_batches_tracked")}
        torch.save({"state_dict": right}, tmp_path / "right.pth")
        torch.save({"state_dict": {key: torch.zeros_like(value) for key, value in right.items()}}, tmp_path / "no.pth")
        values = {"teacher.visual.weights": tmp_path / "right.pth", "teacher.visual.fit": "null"}
        outcome = run(*set_(values), "--until", "teacher")
        assert outcome.code == 0, outcome.err
        assert f"all {len(right)} shapes agree in their order" in outcome.out
        assert f"this proves the mapping of {len(right)} keys" in outcome.out
        outcome = run(*set_({**values, "teacher.visual.weights": tmp_path / "no.pth"}), "--until", "teacher")
        assert outcome.code == 4 and "mapped by order, which the accuracy does not prove" in outcome.err

    def test_a_teacher_of_all_views(self, run: Run) -> None:
        plain = load_file(run.directory / "teacher" / "student.safetensors")
        report = read_json(run.directory / "teacher" / "report.json")
        assert (report["fitted_on"], report["validation_per_view"]) == (["rgb"], "fusion/accuracy.json")
        values = {"teacher.visual.fit.views": "true"}
        outcome = run(*set_(values), "--until", "fusion")
        assert outcome.code == 0 and outcome.stages_run == ["teacher", "fusion"], outcome.err
        report = read_json(run.directory / "teacher" / "report.json")
        assert report["fitted_on"] == ["rgb", "edge", "high_frequency"]
        taught = load_file(run.directory / "teacher" / "student.safetensors")
        assert any(not np.array_equal(plain[key], taught[key]) for key in plain)
        # It is measured on the image itself, and view by view by the next stage.
        measured = read_json(run.directory / report["validation_per_view"])["validation"]["views"]
        assert measured["rgb"] == pytest.approx(report["validation"]["top1"])
        assert set(measured) == set(report["fitted_on"])
        # Views are a part of what it follows from, and only then.
        assert run.plan({**values, "distill.views.edge.strength": 0.5})["teacher"][0] == "run"
        assert "distill.views" not in str(TeacherStage().parameters(load_recipe(run.recipe).recipe))

    def test_a_teacher_of_no_views_but_the_image_is_the_plain_one(self, run: Run) -> None:
        before = sha256_file(run.directory / "teacher" / "student.safetensors")
        gone = {"distill.views.edge": "null", "distill.views.high_frequency": "null"}
        outcome = run(*set_({"teacher.visual.fit.views": "true", **gone}), "--until", "teacher")
        assert outcome.stages_run == ["teacher"]
        assert sha256_file(run.directory / "teacher" / "student.safetensors") == before

    def test_fits_that_stop_early(self, run: Run) -> None:
        # A rate of next to nothing: no pass is better than the first.
        still = {"lr": 1e-12, "epochs": 6, "early_stop": 2}
        values = {f"{section}.{key}": value for section in ("teacher.visual.fit", "teacher.text.fit", "train")
                  for key, value in still.items()}  # fmt: skip
        outcome = run(*set_(values), "--until", "distill")
        assert outcome.code == 0, outcome.err
        lines = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
        passes = {stage: max(row["pass"] for row in lines if row["stage"] == stage) for stage in ("teacher", "distill")}
        for stage, file in (("teacher", "report.json"), ("text", "report.json"), ("distill", "history.json")):
            assert read_json(run.directory / stage / file)["stopped_early"] is True, stage
        assert outcome.out.count("stopped after pass") == 3
        history = read_json(run.directory / "distill" / "history.json")
        assert len(history["passes"]) == passes["distill"] == history["chosen_pass"] + 2 < 6
        assert f"epoch {history['chosen_pass']} of {passes['distill']} was chosen" in outcome.out

    def test_a_device_that_is_not_there(self, run: Run) -> None:
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device")
        outcome = run(*set_({"device": "cuda"}), "--force", "teacher")
        assert outcome.code == 4 and "device: cuda" in outcome.err and "device=auto" in outcome.err

    def test_a_fit_depends_on_more_than_weights_do(self) -> None:
        stage = TeacherStage()
        fitted = stage.parameters(load_recipe("quickstart").recipe)
        as_it_is = load_recipe("quickstart", ["teacher.visual.fit=null", "teacher.visual.weights=imagenet"]).recipe
        assert {"data.split_seed", "data.augment.crop", "train.precision"} <= set(fitted) - set(
            stage.parameters(as_it_is)
        )
        assert "seed" not in fitted  # seeds of a comparison share their teachers

    def test_files_are_known_by_content(self, tmp_path: Path) -> None:
        (tmp_path / "w.pt").write_bytes(b"abc")
        assert weights_file(str(tmp_path / "w.pt")) == {"w.pt": sha256_file(tmp_path / "w.pt")}
        assert weights_file("imagenet") == weights_file(str(tmp_path)) == weights_file("") == {}


class TestText:
    def test_embeddings_are_unit_vectors_of_each_view_and_class(self, finished: tuple[Run, Outcome]) -> None:
        run, outcome = finished
        embeddings = load_file(run.directory / "text" / "embeddings.safetensors")["text"]
        assert embeddings.shape == (3, 3, 16) and embeddings.dtype == np.float32
        assert np.linalg.norm(embeddings.astype(np.float64), axis=-1) == pytest.approx(np.ones((3, 3)), abs=1e-6)
        # Prior-aware prompts: a class reads differently in each view.
        assert np.abs(embeddings[0] - embeddings[1]).max() > 1e-3
        report = read_json(run.directory / "text" / "report.json")
        assert set(report["zero_shot"]) == {"rgb", "edge", "high_frequency"} and report["prompts"] == "generic"
        assert (run.directory / "text" / "clip.safetensors").is_file() and "from prompts alone" in outcome.out

    def test_the_fit_is_the_same_each_time(self, run: Run) -> None:
        before = sha256_file(run.directory / "text" / "clip.safetensors")
        outcome = run("--force", "text", "--until", "text")
        assert outcome.code == 0 and outcome.stages_run == ["text"]
        assert sha256_file(run.directory / "text" / "clip.safetensors") == before

    def test_an_embeddings_file_is_put_in_the_order_of_the_classes(self, run: Run, embeddings_file: Path) -> None:
        values = {"distill.weighting.by": "text", "teacher.text.weights": embeddings_file}
        assert run(*set_(values), "--until", "text").code == 0
        embeddings = load_file(run.directory / "text" / "embeddings.safetensors")["text"]
        with np.load(embeddings_file) as arrays:
            rows, names = arrays["embeddings"].astype(np.float64), arrays["class_names"].tolist()
        expected = [rows[names.index(name)] for name in ("blue bar", "green square", "red disc")]
        expected = [row / np.linalg.norm(row) for row in expected]
        assert embeddings == pytest.approx(np.stack([expected] * 3), abs=1e-6)

    def test_an_embeddings_file_without_a_class(self, run: Run, tmp_path: Path) -> None:
        np.savez(tmp_path / "two.npz", embeddings=np.eye(2, dtype=np.float32), class_names=CLASSES[:2])
        values = {"distill.weighting.by": "text", "teacher.text.weights": tmp_path / "two.npz"}
        outcome = run(*set_(values), "--until", "text")
        assert outcome.code == 4 and "blue bar" in outcome.err and "two.npz" in outcome.err

    def test_prompts_model_and_weights_are_known_by_content(self, tmp_path: Path) -> None:
        (tmp_path / "own.yaml").write_text("x")
        recipe = load_recipe("quickstart", [f"teacher.text.prompts={tmp_path / 'own.yaml'}"]).recipe
        assert set(TextStage().files(recipe)) == {"own.yaml", "tiny.json"}
        assert set(TextStage().files(load_recipe("quickstart").recipe)) == {"birds.yaml", "tiny.json"}
        for names, file in (("cifar10", {"class names cifar10.yaml"}), ("imagenet", set())):
            named = load_recipe("quickstart", [f"teacher.text.class_names={names}"]).recipe
            assert set(TextStage().files(named)) == {"birds.yaml", "tiny.json"} | file

    def test_random_prompts_lie_beside_the_true_ones_and_make_no_new_text_teacher(self, run: Run) -> None:
        saved = load_file(run.directory / "text" / "embeddings.safetensors")
        assert set(saved) == {"text", "random"} and saved["random"].shape == saved["text"].shape
        assert np.linalg.norm(saved["random"], axis=-1) == pytest.approx(np.ones((3, 3)), abs=1e-6)
        context = context_of(run)
        clip = read_text_teacher(context).clip
        random = encode_random_prompts(clip.encode_text, 0, 3, ("rgb", "edge", "high_frequency"))
        assert saved["random"] == pytest.approx(random.numpy(), abs=1e-6)
        plan = run.plan({"distill.weighting.by": "random_prompts"})
        assert plan["text"][0] == "reuse" and plan["distill"][0] == "run"

    def test_random_prompts_weigh_the_views_of_a_run(self, run: Run) -> None:
        before = read_json(run.directory / "fusion" / "accuracy.json")["validation"]["mean_weights"]
        outcome = run(*set_({"distill.weighting.by": "random_prompts"}), "--until", "distill")
        assert outcome.code == 0 and outcome.stages_run == ["fusion", "distill"], outcome.err
        after = read_json(run.directory / "fusion" / "accuracy.json")["validation"]["mean_weights"]
        assert sum(after.values()) == pytest.approx(1, abs=1e-5)
        assert max(abs(after[view] - before[view]) for view in after) > 1e-6

    def test_random_prompts_need_an_image_tower(self, run: Run, embeddings_file: Path) -> None:
        values = {"distill.weighting.by": "random_prompts", "teacher.text.weights": embeddings_file}
        outcome = run(*set_(values))
        assert outcome.code == 2 and "no image tower" in outcome.err and "random_prompts" in outcome.err

    def test_prompts_call_classes_by_their_words_and_labels_stay(self, run: Run, tmp_path: Path) -> None:
        before = load_file(run.directory / "text" / "embeddings.safetensors")["text"]
        words = {"blue bar": "beam", "red disc": "coin", "green square": "tile"}
        names = tmp_path / "names.yaml"
        names.write_text(yaml.safe_dump(words))
        values = {"teacher.text.class_names": names}
        assert "class_names" in run.plan(values)["text"][1]
        outcome = run(*set_(values), "--until", "distill")
        assert outcome.code == 0, outcome.err
        assert read_json(run.directory / "text" / "report.json")["class_names"] == words
        clip = read_text_teacher(context_of(run, **{"teacher__text__class_names": names})).clip
        after = load_file(run.directory / "text" / "embeddings.safetensors")["text"]
        expected = encode_prompts(clip.encode_text, Prompts.load("generic"), ["beam", "tile", "coin"], ["rgb"])
        assert after[0] == pytest.approx(expected[0].numpy(), abs=1e-5) and np.abs(after - before).max() > 1e-3
        assert load_student(run.directory / "distill" / "chosen").labels == ["blue bar", "green square", "red disc"]
        # Another content under the same name is noticed.
        names.write_text(yaml.safe_dump(words | {"blue bar": "rail"}))
        assert "names.yaml" in run.plan(values)["text"][1]
        names.write_text(yaml.safe_dump(words | {"blue bar": "Tile"}))
        outcome = run(*set_(values), "--until", "text")
        assert outcome.code == 2 and "'blue bar' and 'green square'" in outcome.err

    def test_embeddings_and_anchors_are_found_by_words(self, run: Run, tmp_path: Path) -> None:
        rows = np.eye(3, 5, dtype=np.float32)
        np.savez(tmp_path / "words.npz", embeddings=rows, class_names=["coin", "tile", "beam"])
        names = tmp_path / "names.yaml"
        names.write_text("[beam, tile, coin]")
        values = {
            "distill.weighting.by": "text", "teacher.text.weights": tmp_path / "words.npz",
            "teacher.text.class_names": names,
        }  # fmt: skip
        assert run(*set_(values), "--until", "text").code == 0
        saved = load_file(run.directory / "text" / "embeddings.safetensors")
        assert set(saved) == {"text"} and np.array_equal(saved["text"], np.stack([rows[::-1]] * 3))
        context = context_of(run, teacher__text__anchors=tmp_path / "words.npz", teacher__text__class_names=names)
        assert np.array_equal(read_anchors(context, read_data(context)), rows[::-1])
        assert "class names names.yaml" in DistillStage().files(context.recipe)
        assert "teacher.text.class_names" in DistillStage().parameters(context.recipe)

    def test_names_that_are_codes_are_warned_of(self, own_data: Run) -> None:
        for split in ("train", "val", "test"):
            (own_data.data / split / "red_disc").rename(own_data.data / split / "n01443537")
        outcome = own_data("--until", "text")
        assert outcome.code == 0 and "1 of 3 classes have a code for a name, such as n01443537" in outcome.out, (
            outcome.out + outcome.err
        )

    def test_a_missing_description_of_the_model(self, run: Run) -> None:
        outcome = run(*set_({"teacher.text.model": "absent.json"}), "--until", "text")
        assert outcome.code == 4 and "absent.json" in outcome.err and "Traceback" not in outcome.err

    def test_weights_of_the_hub_without_a_network(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        outcome = run_command(
            "run", run.recipe, "--run-dir", run.directory, "--until", "text",
            *set_({"teacher.text.model": "ViT-B-32", "teacher.text.weights": "no_such_tag"}),
        )  # fmt: skip
        assert outcome.code == 2 and "no_such_tag" in outcome.err and "laion2b_s34b_b79k" in outcome.err
