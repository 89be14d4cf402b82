"""The stage `text`: what is fitted, what is loaded, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from exporters.core.files import read_json, sha256_file
from exporters.student.student import load_student
from pipeline.recipe import load_recipe
from pipeline.stages.distill import DistillStage
from pipeline.stages.shared.inputs import read_data
from pipeline.stages.shared.teachers import read_anchors, read_text_teacher
from pipeline.stages.text import TextStage
from pipeline.tmkd.prompts import Prompts, encode_prompts, encode_random_prompts
from tests.pipeline.conftest import CLASSES, Outcome, Run, run_command, set_
from tests.pipeline.stages.contexts import context_of


def test_embeddings_are_unit_vectors_of_each_view_and_class(finished: tuple[Run, Outcome]) -> None:
    run, outcome = finished
    embeddings = load_file(run.directory / "text" / "embeddings.safetensors")["text"]
    assert embeddings.shape == (3, 3, 16) and embeddings.dtype == np.float32
    assert np.linalg.norm(embeddings.astype(np.float64), axis=-1) == pytest.approx(np.ones((3, 3)), abs=1e-6)
    # Prior-aware prompts: a class reads differently in each view.
    assert np.abs(embeddings[0] - embeddings[1]).max() > 1e-3
    report = read_json(run.directory / "text" / "report.json")
    assert set(report["zero_shot"]) == {"rgb", "edge", "high_frequency"} and report["prompts"] == "generic"
    assert (run.directory / "text" / "clip.safetensors").is_file() and "from prompts alone" in outcome.out


def test_fit_is_reproducible(run: Run) -> None:
    before = sha256_file(run.directory / "text" / "clip.safetensors")
    outcome = run("--force", "text", "--until", "text")
    assert outcome.code == 0 and outcome.stages_run == ["text"]
    assert sha256_file(run.directory / "text" / "clip.safetensors") == before


def test_embeddings_file_is_reordered_by_class(run: Run, embeddings_file: Path) -> None:
    values = {"distill.weighting.by": "text", "teacher.text.weights": embeddings_file}
    assert run(*set_(values), "--until", "text").code == 0
    embeddings = load_file(run.directory / "text" / "embeddings.safetensors")["text"]
    with np.load(embeddings_file) as arrays:
        rows, names = arrays["embeddings"].astype(np.float64), arrays["class_names"].tolist()
    expected = [rows[names.index(name)] for name in ("blue bar", "green square", "red disc")]
    expected = [row / np.linalg.norm(row) for row in expected]
    assert embeddings == pytest.approx(np.stack([expected] * 3), abs=1e-6)


def test_embeddings_file_without_a_class_is_refused(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", embeddings=np.eye(2, dtype=np.float32), class_names=CLASSES[:2])
    values = {"distill.weighting.by": "text", "teacher.text.weights": tmp_path / "two.npz"}
    outcome = run(*set_(values), "--until", "text")
    assert outcome.code == 4 and "blue bar" in outcome.err and "two.npz" in outcome.err


def test_prompts_model_and_weights_are_known_by_content(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("x")
    recipe = load_recipe("quickstart", [f"teacher.text.prompts={tmp_path / 'own.yaml'}"]).recipe
    assert set(TextStage().files(recipe)) == {"own.yaml", "tiny.json"}
    assert set(TextStage().files(load_recipe("quickstart").recipe)) == {"birds.yaml", "tiny.json"}
    for names, file in (("cifar10", {"class names cifar10.yaml"}), ("imagenet", set())):
        named = load_recipe("quickstart", [f"teacher.text.class_names={names}"]).recipe
        assert set(TextStage().files(named)) == {"birds.yaml", "tiny.json"} | file


def test_random_prompts_are_saved_with_the_true_ones_and_reuse_the_text_teacher(run: Run) -> None:
    saved = load_file(run.directory / "text" / "embeddings.safetensors")
    assert set(saved) == {"text", "random"} and saved["random"].shape == saved["text"].shape
    assert np.linalg.norm(saved["random"], axis=-1) == pytest.approx(np.ones((3, 3)), abs=1e-6)
    context = context_of(run)
    clip = read_text_teacher(context).clip
    random = encode_random_prompts(clip.encode_text, 0, 3, ("rgb", "edge", "high_frequency"))
    assert saved["random"] == pytest.approx(random.numpy(), abs=1e-6)
    plan = run.plan({"distill.weighting.by": "random_prompts"})
    assert plan["text"][0] == "reuse" and plan["distill"][0] == "run"


def test_random_prompts_weigh_the_views_of_a_run(run: Run) -> None:
    before = read_json(run.directory / "fusion" / "accuracy.json")["validation"]["mean_weights"]
    outcome = run(*set_({"distill.weighting.by": "random_prompts"}), "--until", "distill")
    assert outcome.code == 0 and outcome.stages_run == ["fusion", "distill"], outcome.err
    after = read_json(run.directory / "fusion" / "accuracy.json")["validation"]["mean_weights"]
    assert sum(after.values()) == pytest.approx(1, abs=1e-5)
    assert max(abs(after[view] - before[view]) for view in after) > 1e-6


def test_random_prompts_need_an_image_tower(run: Run, embeddings_file: Path) -> None:
    values = {"distill.weighting.by": "random_prompts", "teacher.text.weights": embeddings_file}
    outcome = run(*set_(values))
    assert outcome.code == 2 and "no image tower" in outcome.err and "random_prompts" in outcome.err


def test_class_names_change_prompts_and_not_labels(run: Run, tmp_path: Path) -> None:
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


def test_embeddings_and_anchors_are_found_by_words(run: Run, tmp_path: Path) -> None:
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


def test_class_names_that_are_codes_are_warned_of(own_data: Run) -> None:
    for split in ("train", "val", "test"):
        (own_data.data / split / "red_disc").rename(own_data.data / split / "n01443537")
    outcome = own_data("--until", "text")
    assert outcome.code == 0 and "1 of 3 classes have a code for a name, such as n01443537" in outcome.out, (
        outcome.out + outcome.err
    )


def test_visual_teacher_is_the_tower_of_the_text_teacher(run: Run) -> None:
    values = {"teacher.text.tower": "teacher"}
    assert "teacher.text.tower" in run.plan(values)["text"][1]
    outcome = run(*set_(values), "--until", "fusion")
    assert outcome.code == 0 and outcome.stages_run == ["text", "fusion"], outcome.err
    assert "with the tower teacher" in outcome.out
    folder = run.directory / "text"
    saved = load_file(folder / "clip.safetensors")
    # What is saved is the projection and the text tower; the teacher is where its stage has left it.
    assert saved["visual.projection.weight"].shape == (16, 64) and not (folder / "tower").exists()
    assert not any(key.startswith("network") for key in saved)
    report = read_json(folder / "report.json")
    assert report["tower"] == {"model": "teacher"} and report["fitted_on_images"] == 48
    clip = read_text_teacher(context_of(run, teacher__text__tower="teacher")).clip
    found = load_file(folder / "embeddings.safetensors")
    assert set(found) == {"text", "random"}
    words = ["blue bar", "green square", "red disc"]
    expected = encode_prompts(clip.encode_text, Prompts.load("generic"), words, ["rgb"])
    assert found["text"][0] == pytest.approx(expected[0].numpy(), abs=1e-5)
    before = sha256_file(folder / "clip.safetensors")
    again = run(*set_(values), "--force", "text", "--until", "text")
    assert again.code == 0 and sha256_file(folder / "clip.safetensors") == before
    # Another teacher is another tower; the augmentation, of which the tower sees nothing, is no matter.
    assert run.plan(values | {"teacher.visual.fit.lr": 0.04})["text"][0] == "wait"
    recipe = load_recipe(run.recipe, ["teacher.text.tower=teacher"]).recipe
    assert not any(key.startswith("data.augment") for key in TextStage().parameters(recipe))


def test_text_teacher_that_says_nothing_is_warned_of_with_what_helps(run: Run) -> None:
    outcome = run(*set_({"teacher.text.fit.lr": 1e-9, "teacher.text.tower": "teacher"}), "--until", "text")
    assert outcome.code == 0, outcome.err
    message = " ".join((outcome.out + outcome.err).split())
    assert "so few images cannot show whether the text teacher says anything about them" in message
    assert "What helps are more of them (data.validation), or real CLIP weights (teacher.text.weights: " in message
    assert "laion2b_s34b_b79k for ViT-B-32)" in message
    assert "tower: teacher" not in message  # it is there already
    outcome = run(*set_({"teacher.text.fit.lr": 1e-9}), "--until", "text")
    message = " ".join((outcome.out + outcome.err).split())
    assert outcome.code == 0 and "a trained network as its tower (teacher.text.tower: teacher)" in message


def test_network_from_a_file_is_fitted_to_anchors(run: Run, embeddings_file: Path) -> None:
    weights = run.directory / "teacher" / "student.safetensors"
    tower = f"{{model: cifar:resnet8, weights: {weights}, mean: [0.4, 0.5, 0.6], std: [0.2, 0.2, 0.2], image_size: 48}}"
    values = {"teacher.text.tower": tower, "teacher.text.anchors": embeddings_file}
    outcome = run(*set_(values), "--until", "fusion")
    assert outcome.code == 0 and outcome.stages_run == ["text", "fusion"], outcome.err
    folder = run.directory / "text"
    report = read_json(folder / "report.json")
    assert report["tower"]["mean"] == [0.4, 0.5, 0.6] and report["weights_sha256"] == sha256_file(weights)
    kept = load_student(folder / "tower")
    assert (kept.preprocessing.size, kept.preprocessing.mean) == (48, (0.4, 0.5, 0.6))
    found = load_file(folder / "embeddings.safetensors")
    with np.load(embeddings_file) as arrays:
        rows, names = arrays["embeddings"].astype(np.float64), arrays["class_names"].tolist()
    expected = [rows[names.index(name)] for name in ("blue bar", "green square", "red disc")]
    expected = np.stack([row / np.linalg.norm(row) for row in expected])
    expected -= expected.mean(axis=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert set(found) == {"text"} and found["text"] == pytest.approx(np.stack([expected] * 3), abs=1e-6)
    assert set(load_file(folder / "clip.safetensors")) >= {"visual.projection.weight", "logit_scale"}
    # No text tower is used, so neither model nor prompts count; the anchors and the tower's file do.
    recipe = load_recipe(run.recipe, [f"{key}={value}" for key, value in values.items()]).recipe
    assert not {"teacher.text.model", "teacher.text.prompts"} & set(TextStage().parameters(recipe))
    assert {embeddings_file.name, weights.name} <= set(TextStage().files(recipe))


def test_missing_model_description_is_refused(run: Run) -> None:
    outcome = run(*set_({"teacher.text.model": "absent.json"}), "--until", "text")
    assert outcome.code == 4 and "absent.json" in outcome.err and "Traceback" not in outcome.err


def test_unknown_clip_tag_is_refused_with_suggestions(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run_command(
        "run", run.recipe, "--run-dir", run.directory, "--until", "text",
        *set_({"teacher.text.model": "ViT-B-32", "teacher.text.weights": "no_such_tag"}),
    )  # fmt: skip
    assert outcome.code == 2 and "no_such_tag" in outcome.err and "laion2b_s34b_b79k" in outcome.err
