"""The command line: what each command prints, and that every mistake is one clear error with the right exit code."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline import __version__
from pipeline.catalog import find_recipe, recipe_names
from pipeline.cli import COMMANDS
from pipeline.commands import recipes as commands_recipes
from pipeline.recipe import load_recipe
from tests.pipeline.conftest import CLASSES, Outcome, Run, draw, run_command, set_, start_command

SHIPPED = tuple(recipe_names())


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def assert_one_clear_error(outcome: Outcome, code: int) -> None:
    assert outcome.code == code, outcome.out + outcome.err
    assert outcome.err.startswith(("error: ", "Usage: ")) and outcome.err.count("error: ") == 1
    assert "Traceback" not in outcome.err and "internal" not in outcome.err


class TestWithoutTorch:
    def test_commands_that_only_read_import_nothing_heavy(self, tmp_path: Path) -> None:
        code = (
            "import sys\nfrom pipeline.__main__ import main\n"
            f"folder = {str(tmp_path)!r}\n"
            "commands = [['--help'], ['check', 'quickstart'], ['plan', 'quickstart', '--run-dir', folder],\n"
            "    ['schema'], ['recipes', 'list'], ['run', 'nothing'], ['run', '--help']]\n"
            "heavy = {'torch', 'torchvision', 'timm', 'open_clip', 'lightning_fabric', 'onnx', 'onnxruntime'}\n"
            "for command in commands:\n"
            "    sys.argv = ['tmkd-pipeline', *command]\n"
            "    try:\n        main()\n"
            "    except SystemExit as end:\n"
            "        print('ENDED', command[0], end.code, sorted(heavy & set(sys.modules)))\n"
        )
        out, err = start_command(code=code).communicate(timeout=120)
        ended = [line for line in out.splitlines() if line.startswith("ENDED")]
        assert ended == [
            "ENDED --help 0 []", "ENDED check 0 []", "ENDED plan 0 []", "ENDED schema 0 []", "ENDED recipes 0 []",
            "ENDED run 2 []", "ENDED run 0 []",
        ], out + err  # fmt: skip

    def test_help_imports_neither_the_schema_nor_numpy(self) -> None:
        code = (
            "import sys\nfrom pipeline.__main__ import main\n"
            f"commands = [[], *([name] for name in {list(COMMANDS)!r}), ['data', 'inspect'], ['recipes', 'copy']]\n"
            "heavy = {'pydantic', 'pydantic_core', 'yaml', 'numpy', 'PIL', 'rich', 'pipeline.recipe.schema.recipe',\n"
            "    'pipeline.stages.registry', 'pipeline.console', 'torch'}\n"
            "for command in commands:\n"
            "    sys.argv = ['tmkd-pipeline', *command, '--help']\n"
            "    try:\n        main()\n"
            "    except SystemExit as end:\n"
            "        print('ENDED', end.code, sorted(heavy & set(sys.modules)))\n"
        )
        out, err = start_command(code=code).communicate(timeout=120)
        ended = [line for line in out.splitlines() if line.startswith("ENDED")]
        assert ended == ["ENDED 0 []"] * (len(COMMANDS) + 3), out + err

    def test_predict_and_verify_import_no_torch(self, finished: tuple[Run, Outcome]) -> None:
        run, _ = finished
        bundle, image = str(run.directory / "bundle"), str(run.data / "test" / CLASSES[0] / "00.png")
        code = (
            "import sys\nfrom pipeline.__main__ import main\n"
            f"for command in (['verify', {bundle!r}], ['predict', {bundle!r}, {image!r}]):\n"
            "    sys.argv = ['tmkd-pipeline', *command]\n"
            "    try:\n        main()\n"
            "    except SystemExit as end:\n"
            "        print('ENDED', end.code, sorted({'torch', 'onnx', 'timm'} & set(sys.modules)))\n"
        )
        out, err = start_command(code=code).communicate(timeout=120)
        ended = [line for line in out.splitlines() if line.startswith("ENDED")]
        assert ended == ["ENDED 0 []", "ENDED 0 []"], out + err


class TestCommands:
    def test_help_names_every_command_and_exit_code(self) -> None:
        outcome = run_command("--help")
        assert outcome.code == 0
        shown = " ".join(outcome.out.split())
        for word in ("run", "plan", "check", "schema", "recipes", "verify", "predict", "3 a gate", "4 something"):
            assert word in shown
        assert run_command("-h").out == outcome.out
        assert run_command("--version").out.strip().endswith(__version__)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["nonsense"],
            ["run"],
            ["run", "quickstart", "--until", "lunch"],
            ["predict", "b"],
            ["verify"],
            ["--colour"],
            ["predict", "b", "i", "--precision", "fp32,int8"],
            ["serve", "b", "--precision", "fp8"],
        ],
    )
    def test_a_command_line_that_makes_no_sense(self, arguments: list[str]) -> None:
        outcome = run_command(*arguments)
        assert outcome.code == 2 and "Error: " in outcome.err and outcome.out == ""

    @pytest.mark.parametrize("name", SHIPPED)
    def test_shipped_recipes_have_no_mistakes(self, name: str) -> None:
        for source in (name, f"recipes/{name}.yaml"):
            outcome = run_command("check", source)
            assert outcome.code == 0 and outcome.out.splitlines()[0].endswith(f"{name}.yaml: no mistakes")

    def test_schema_is_json_and_knows_the_keys(self) -> None:
        schema = json.loads(run_command("schema").out)
        assert {"data", "teacher", "student", "distill", "train", "validate"} <= set(schema["properties"])

    def test_schema_of_a_part(self) -> None:
        part = json.loads(run_command("schema", "train").out)
        assert {"epochs", "batch_size", "lr", "schedule"} <= set(part["properties"])
        assert list(part["$defs"]) == ["ScheduleSettings"] and part["title"].endswith(": train")
        part = json.loads(run_command("schema", "facts.licences", "--of", "manifest").out)
        assert part["type"] == "object"
        assert run_command("schema", "manifest").out == run_command("schema", "--of", "manifest").out
        outcome = run_command("schema", "trian")
        assert_one_clear_error(outcome, 2)
        assert "trian: no such key; did you mean train?" in outcome.err

    def test_recipes_are_listed_shown_and_copied(self, tmp_path: Path) -> None:
        listed = run_command("recipes", "list").out.splitlines()
        assert [line.split()[0] for line in listed] == list(SHIPPED)
        assert all(len(line.split()) > 3 for line in listed)
        text = find_recipe("quickstart").read_text()
        assert run_command("recipes", "show", "quickstart").out == text

        outcome = run_command("recipes", "copy", "quickstart", tmp_path)
        assert outcome.code == 0 and (tmp_path / "quickstart.yaml").read_text() == text
        assert f"tmkd-pipeline run {tmp_path / 'quickstart.yaml'}" in outcome.out
        outcome = run_command("recipes", "copy", "recipes/cub_mobilenet.yaml", tmp_path / "mine.yaml")
        assert outcome.code == 0 and load_recipe(tmp_path / "mine.yaml").recipe.name == "mine"

    def test_the_list_of_recipes_breaks_no_word_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(commands_recipes, "_is_terminal", lambda: True)
        monkeypatch.setenv("COLUMNS", "80")
        lines = run_command("recipes", "list").out.splitlines()
        assert max(map(len, lines)) <= 80
        assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(SHIPPED)
        monkeypatch.undo()
        assert " ".join(" ".join(lines).split()) == " ".join(run_command("recipes", "list").out.split())

    def test_bars_of_libraries_are_for_terminals(self) -> None:
        code = (
            "from pipeline.__main__ import main\ntry:\n    main()\nexcept SystemExit:\n"
            "    from tqdm.auto import tqdm\n    print(sum(tqdm(range(5))))\n"
        )
        out, err = start_command("--version", code=code).communicate(timeout=60)
        assert out.endswith("\n10\n") and err == ""

    def test_a_copy_holds_what_the_recipe_extends(self, tmp_path: Path) -> None:
        assert run_command("recipes", "show", "cub_mobilenet").out == find_recipe("cub_mobilenet").read_text()
        assert run_command("recipes", "copy", "cub_mobilenet", tmp_path / "mine.yaml").code == 0
        text = (tmp_path / "mine.yaml").read_text()
        assert "extends" not in yaml.safe_load(text) and "# A MobileNetV2 for the 200" in text.splitlines()[0]
        copied, original = load_recipe(tmp_path / "mine.yaml").recipe, load_recipe("cub_mobilenet").recipe
        assert copied.resolved() == original.resolved() | {"name": "mine"}

    def test_copy_overwrites_nothing(self, tmp_path: Path) -> None:
        own = write(tmp_path / "quickstart.yaml", "mine")
        for target in (tmp_path, own):
            outcome = run_command("recipes", "copy", "quickstart", target)
            assert_one_clear_error(outcome, 2)
            assert str(own) in outcome.err and "exists already" in outcome.err and own.read_text() == "mine"
        assert_one_clear_error(run_command("recipes", "copy", "nothing", tmp_path), 2)

    def test_plan_shows_a_table(self, run: Run) -> None:
        outcome = run_command("plan", run.recipe, "--run-dir", run.directory, *set_({"train.epochs": 3}))
        assert outcome.code == 0
        rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in outcome.out.splitlines()]
        assert ["data", "reuse", ""] in rows
        assert ["distill", "run", "train.epochs was 2, is 3"] in rows
        assert ["validate", "wait", "is reused if distill gives the same files"] in rows
        forced = run_command("plan", run.recipe, "--run-dir", run.directory, "--force", "text")
        assert "forced" in forced.out

    def test_plan_names_three_changes_and_all_when_asked(self, run: Run) -> None:
        arguments = ("plan", run.recipe, "--run-dir", run.directory, *set_({"distill.method": "ce"}))
        outcome = run_command(*arguments)
        (line,) = [line for line in outcome.out.splitlines() if line.startswith("│ distill")]
        assert 'distill.method was "tmkd", is "ce"; ' in line
        assert re.search(r"and \d+ more \(`plan --verbose`\)", " ".join(outcome.out.replace("│", " ").split()))
        assert max(map(len, outcome.out.splitlines())) <= 120
        verbose = run_command(*arguments, "--verbose").out
        told = verbose[verbose.index("│ distill") : verbose.index("│ validate")]
        assert len(told.splitlines()) > 10 and "more (" not in told

    def test_a_run_goes_below_runs_by_default(
        self, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert run_command("run", tiny_recipe, "--until", "data", *set_({"name": "mine"})).code == 0
        assert (tmp_path / "runs" / "mine" / "stages" / "data.json").is_file()


class TestBundle:
    def test_verify_tells_what_was_proved(self, finished: tuple[Run, Outcome]) -> None:
        outcome = run_command("verify", finished[0].directory / "bundle")
        assert outcome.code == 0
        assert "verified. 15 files" in outcome.out and "16 golden images" in outcome.out

    def test_verify_measures_the_accuracy_again(self, finished: tuple[Run, Outcome]) -> None:
        run, _ = finished
        outcome = run_command("verify", run.directory / "bundle", "--data", load_recipe(run.recipe).recipe.data.root)
        assert outcome.code == 0, outcome.err
        verdict = json.loads((run.directory / "validate" / "verdict.json").read_text())
        top1 = verdict["student"]["chosen"]["test"]["top1"]
        assert f"24 images, exactly those of the test split; accuracy: model.onnx {top1:.4f}" in outcome.out
        assert_one_clear_error(run_command("verify", run.directory / "bundle", "--data", run.directory / "none"), 2)

    def test_any_flipped_byte_is_found_and_its_file_named(self, run: Run) -> None:
        bundle = run.directory / "bundle"
        files = sorted(path for path in bundle.rglob("*") if path.is_file())
        assert len(files) == 15
        for path in files:
            content = path.read_bytes()
            for position in (0, len(content) // 2, len(content) - 1):
                path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
                outcome = run_command("verify", bundle)
                assert_one_clear_error(outcome, 3)
                assert path.relative_to(bundle).as_posix() in outcome.err
            path.write_bytes(content)
        assert run_command("verify", bundle).code == 0

    def test_a_missing_and_an_added_file_are_found(self, run: Run) -> None:
        bundle = run.directory / "bundle"
        write(bundle / "teacher.bin", "secret")
        outcome = run_command("verify", bundle)
        assert_one_clear_error(outcome, 3)
        assert "teacher.bin" in outcome.err
        (bundle / "teacher.bin").unlink()
        (bundle / "labels.json").unlink()
        outcome = run_command("verify", bundle)
        assert_one_clear_error(outcome, 3)
        assert "labels.json" in outcome.err

    def test_no_bundle(self, tmp_path: Path) -> None:
        assert_one_clear_error(run_command("verify", tmp_path / "absent"), 2)
        assert_one_clear_error(run_command("verify", tmp_path), 3)

    def test_predict_prints_the_most_probable_labels(self, finished: tuple[Run, Outcome]) -> None:
        run, _ = finished
        images = [run.data / "test" / kind / "01.png" for kind in CLASSES]
        outcome = run_command("predict", run.directory / "bundle", *images)
        assert outcome.code == 0
        lines = outcome.out.splitlines()
        assert [line for line in lines if not line.startswith(" ")] == [str(image) for image in images]
        for start in range(0, 12, 4):
            shares = [float(line.split("%")[0]) for line in lines[start + 1 : start + 4]]
            labels = {line.split("%")[1].strip() for line in lines[start + 1 : start + 4]}
            assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=0.02)
            assert labels == {"red disc", "green square", "blue bar"}
        assert len(run_command("predict", run.directory / "bundle", images[0], "--top", 1).out.splitlines()) == 2

    def test_predict_refuses_what_is_no_image(self, finished: tuple[Run, Outcome], tmp_path: Path) -> None:
        bundle = finished[0].directory / "bundle"
        text = write(tmp_path / "notes.jpg", "no image")
        os.mkfifo(tmp_path / "pipe.png")  # nobody writes to it: reading would never end
        for path in (text, tmp_path / "absent.png", tmp_path, tmp_path / "pipe.png"):
            outcome = run_command("predict", bundle, path)
            assert_one_clear_error(outcome, 4)
            assert str(path) in outcome.err
        outcome = run_command("predict", bundle, text, "--provider", "cuda")
        assert outcome.code == 4

    def test_predict_goes_on_after_an_image_that_cannot_be_read(
        self, finished: tuple[Run, Outcome], tmp_path: Path
    ) -> None:
        run, _ = finished
        good = [run.data / "test" / kind / "01.png" for kind in CLASSES]
        text = write(tmp_path / "notes.jpg", "no image")
        mixed = [good[0], text, good[1], tmp_path / "absent.png", good[2]]
        outcome = run_command("predict", run.directory / "bundle", *mixed)
        assert outcome.code == 4 and outcome.out == run_command("predict", run.directory / "bundle", *good).out
        told = outcome.err.splitlines()
        assert told[0].startswith(f"{text}: the image cannot be read: not an image")
        assert told[1] == f"{tmp_path / 'absent.png'}: the image cannot be read: no such file"
        assert told[2] == "error: 2 of 5 images could not be read" and len(told) == 4


class TestRecipes:
    def test_no_such_recipe(self) -> None:
        outcome = run_command("run", "recipes/quickstrat.yaml")
        assert_one_clear_error(outcome, 2)
        assert "recipes/quickstrat.yaml" in outcome.err and "Did you mean quickstart?" in outcome.err
        assert "recipes list" in outcome.err

    def test_a_syntax_error_has_line_and_column(self, tmp_path: Path) -> None:
        path = write(tmp_path / "bad.yaml", "name: x\ntrain:\n  epochs: [1, 2\n  lr: 3\n")
        outcome = run_command("check", path)
        assert_one_clear_error(outcome, 2)
        with pytest.raises(yaml.MarkedYAMLError) as parsed:
            yaml.safe_load(path.read_text())
        mark = parsed.value.problem_mark
        assert mark is not None and f"{path}:{mark.line + 1}:{mark.column + 1}" in outcome.err

    def test_an_unknown_key_three_levels_deep(self, tmp_path: Path) -> None:
        text = "data: {dataset: birds_demo}\nteacher:\n  visual:\n    fit:\n      epochs: 3\n      batchsize: 2\n"
        outcome = run_command("check", write(tmp_path / "bad.yaml", text))
        assert_one_clear_error(outcome, 2)
        assert (
            "bad.yaml:6:7: teacher.visual.fit.batchsize: unknown key; did you mean teacher.visual.fit.batch_size"
            in outcome.err
        )

    def test_all_mistakes_at_once(self, tmp_path: Path) -> None:
        text = "train: {epochs: many, lr: -1}\nstudnet: {model: x}\ndistill: {method: magic}\n"
        outcome = run_command("run", write(tmp_path / "bad.yaml", text), "--set", "train.batch_size=0")
        assert_one_clear_error(outcome, 2)
        for line in (
            "bad.yaml:1:9: train.epochs: expected", "train.lr: expected", "studnet: unknown key; did you mean student?",
            "distill.method: expected", "--set train.batch_size=0: train.batch_size: expected",
        ):  # fmt: skip
            assert line in outcome.err
        assert "got 'many'" in outcome.err and "got -1" in outcome.err and "got 'magic'" in outcome.err

    def test_set_of_an_unknown_key(self) -> None:
        outcome = run_command("run", "quickstart", "--set", "train.epoch=3")
        assert_one_clear_error(outcome, 2)
        assert "--set train.epoch=3: train.epoch: unknown key; did you mean train.epochs?" in outcome.err
        assert_one_clear_error(run_command("plan", "quickstart", "--set", "train.epochs"), 2)

    def test_unknown_models_are_refused_before_anything_is_trained(self, run: Run, tmp_path: Path) -> None:
        for key, value, near in (
            ("student.model", "mobilenet_v22", "mobilenet_v2"),
            ("teacher.visual.model", "cifar:resnet9", "resnet8"),
        ):
            arguments = ("run", run.recipe, "--run-dir", tmp_path / key, *set_({key: value}))
            outcome = run_command(*arguments)
            assert_one_clear_error(outcome, 2)
            assert value.removeprefix("cifar:") in outcome.err and near in outcome.err
            assert key.removesuffix(".model") in outcome.err
            assert "images/s" not in outcome.out


class TestData:
    def test_cub_without_data_tells_what_is_missing_and_how_to_get_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        outcome = run_command("run", "recipes/cub_mobilenet.yaml")
        assert_one_clear_error(outcome, 4)
        assert "data/CUB_200_2011" in outcome.err and "--set data.root=" in outcome.err
        assert "tar -xzf CUB_200_2011.tgz" in outcome.err or "tmkd-pipeline data prepare" in outcome.err

    def test_an_empty_class_folder_is_named(self, tiny_data: Path, tiny_recipe: Path, tmp_path: Path) -> None:
        shutil.copytree(tiny_data, tmp_path / "data")
        empty = tmp_path / "data" / "train" / "yellow_star"
        empty.mkdir()
        outcome = run_command(
            "run", tiny_recipe, "--run-dir", tmp_path / "run", *set_({"data.root": tmp_path / "data"})
        )
        assert_one_clear_error(outcome, 4)
        assert str(empty) in outcome.err and "no images" in outcome.err

    def test_an_unreadable_image_is_named_or_left_out(self, tiny_data: Path, tiny_recipe: Path, tmp_path: Path) -> None:
        shutil.copytree(tiny_data, tmp_path / "data")
        broken = tmp_path / "data" / "train" / CLASSES[1] / "03.png"
        broken.write_bytes(broken.read_bytes()[:200])
        arguments = ("run", tiny_recipe, "--run-dir", tmp_path / "run", *set_({"data.root": tmp_path / "data"}))
        outcome = run_command(*arguments)
        assert_one_clear_error(outcome, 4)
        assert str(broken) in outcome.err and "data.on_error=skip" in outcome.err
        record = json.loads((tmp_path / "run" / "stages" / "data.json").read_text())
        assert record["status"] == "failed" and str(broken) in record["message"]

        outcome = run_command(*arguments, "--set", "data.on_error=skip", "--until", "data")
        assert outcome.code == 0
        assert "1 unreadable images were left out" in outcome.out and "train 47" in outcome.out
        index = json.loads((tmp_path / "run" / "data" / "index.json").read_text())
        assert [file["path"] for file in index["skipped"]] == [f"train/{CLASSES[1]}/03.png"]

    def test_an_image_that_vanishes_later_is_named(self, own_data: Run) -> None:
        vanished = own_data.data / "test" / CLASSES[2] / "05.png"
        draw(CLASSES[2], 5, size=40).save(vanished)  # another picture than the one that was indexed
        from pipeline.stages.shared.inputs import read_data
        from tests.pipeline.stages.contexts import context_of

        data = read_data(context_of(own_data))
        from exporters.core.errors import TmkdError

        with pytest.raises(TmkdError, match=r"05\.png"):
            list(data.loader.evaluation_batches("test", data.preprocessing, 64))


class TestErrors:
    @pytest.mark.parametrize("arguments", [["--debug", "run", "nothing"], ["run", "nothing", "--debug"]])
    def test_debug_shows_the_traceback(self, arguments: list[str]) -> None:
        outcome = run_command(*arguments)
        assert outcome.code == 2
        assert "Traceback (most recent call last)" in outcome.err and "error: nothing: no such file" in outcome.err

    def test_a_mistake_of_ours_is_an_internal_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_arguments: object) -> None:
            raise ZeroDivisionError("by zero")

        monkeypatch.setattr("pipeline.recipe.load_recipe", broken)
        outcome = run_command("check", "quickstart")
        assert outcome.code == 1 and "Traceback" not in outcome.err
        assert "internal error: ZeroDivisionError: by zero" in outcome.err and "--debug" in outcome.err
        outcome = run_command("check", "quickstart", "--debug")
        assert outcome.code == 1 and "in broken" in outcome.err

    def test_a_stream_without_these_letters_is_no_obstacle(self, tiny_recipe: Path, tmp_path: Path) -> None:
        code = (
            "import io, sys\n"
            "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='ascii')\n"
            "from pipeline.__main__ import main\nmain()\n"
        )
        process = start_command("run", tiny_recipe, "--run-dir", tmp_path / "run", "--until", "data", code=code)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "?? data" in out


@pytest.mark.parametrize(("name", "code"), [("torch", 4), ("onnxruntime.capi", 4), ("pipeline.nothing", 1), (None, 1)])
def test_a_package_of_an_extra_is_missing_here_and_one_of_ours_is_our_fault(
    name: str | None, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.__main__ import _missing

    assert _missing(ModuleNotFoundError("gone", name=name), debug=False) == code
    told = capsys.readouterr().err
    assert ("make install" in told) == (code == 4) and "Traceback" not in told
