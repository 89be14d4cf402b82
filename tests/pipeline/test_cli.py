"""The command line: what each command prints, and that every mistake is one clear error with the right exit code."""

from pathlib import Path

import pytest

from pipeline import __version__
from pipeline.cli import COMMANDS
from tests.pipeline.conftest import CLASSES, Outcome, Run, assert_one_clear_error, run_command, start_command


class TestWithoutTorch:
    def test_commands_that_only_read_import_nothing_heavy(self, tmp_path: Path) -> None:
        code = (
            "import sys\nfrom pipeline.__main__ import main\n"
            f"folder = {str(tmp_path)!r}\n"
            "commands = [['--help'], ['check', 'quickstart', '--set', 'train.epoch=1'],\n"
            "    ['plan', 'quickstart', '--run-dir', folder], ['schema'], ['recipes', 'list'],\n"
            "    ['run', 'nothing'], ['run', '--help']]\n"
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
            "ENDED --help 0 []", "ENDED check 2 []", "ENDED plan 0 []", "ENDED schema 0 []", "ENDED recipes 0 []",
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
    def test_invalid_command_line_is_refused(self, arguments: list[str]) -> None:
        outcome = run_command(*arguments)
        assert_one_clear_error(outcome, 2)
        assert outcome.out == "" and "\n  Usage: tmkd-pipeline" in outcome.err and " --help`.\n" in outcome.err

    def test_invalid_option_is_reported_in_the_form_of_every_error(self) -> None:
        outcome = run_command("run", "quickstart", "--untill", "data")
        assert outcome.err == (
            "error: no such option '--untill'. Did you mean '--until'?\n"
            "  Usage: tmkd-pipeline run [OPTIONS] RECIPE\n"
            "  Try `tmkd-pipeline run --help`.\n"
        )
        outcome = run_command("run", "quickstart", "--until", "\x1b[31m")
        assert outcome.err.startswith("error: invalid value for '--until': '\\x1b[31m' is not one of 'data', ")

    def test_wrong_value_of_an_option_suggests_the_nearest_name(self) -> None:
        outcome = run_command("run", "quickstart", "--until", "destil")
        assert "'parity', 'bundle'. Did you mean 'distill'?\n" in outcome.err
        outcome = run_command("run", "quickstart", "--devices", "two")
        assert outcome.err.startswith("error: invalid value for '--devices': 'two' is not an integer\n")

    @pytest.mark.parametrize("arguments", [[], ["data"]])
    def test_group_without_a_command_prints_its_help(self, arguments: list[str]) -> None:
        outcome = run_command(*arguments)
        assert outcome.code == 2 and outcome.err.startswith("Usage: tmkd-pipeline ") and "Commands:" in outcome.err

    def test_bars_of_libraries_are_for_terminals(self) -> None:
        code = (
            "from pipeline.__main__ import main\ntry:\n    main()\nexcept SystemExit:\n"
            "    from tqdm.auto import tqdm\n    print(sum(tqdm(range(5))))\n"
        )
        out, err = start_command("--version", code=code).communicate(timeout=60)
        assert out.endswith("\n10\n") and err == ""


class TestErrors:
    @pytest.mark.parametrize("arguments", [["--debug", "run", "nothing"], ["run", "nothing", "--debug"]])
    def test_debug_shows_the_traceback(self, arguments: list[str]) -> None:
        outcome = run_command(*arguments)
        assert outcome.code == 2
        assert "Traceback (most recent call last)" in outcome.err and "error: nothing: no such file" in outcome.err

    def test_bug_is_reported_as_an_internal_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_arguments: object) -> None:
            raise ZeroDivisionError("by zero")

        monkeypatch.setattr("pipeline.recipe.load_recipe", broken)
        outcome = run_command("check", "quickstart")
        assert outcome.code == 1 and "Traceback" not in outcome.err
        assert "internal error: ZeroDivisionError: by zero" in outcome.err and "--debug" in outcome.err
        outcome = run_command("check", "quickstart", "--debug")
        assert outcome.code == 1 and "in broken" in outcome.err

    def test_memory_that_runs_out_is_something_missing_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def large(*_arguments: object) -> None:
            raise MemoryError

        monkeypatch.setattr("pipeline.recipe.load_recipe", large)
        outcome = run_command("check", "quickstart")
        assert outcome.code == 4 and outcome.err.startswith("error: out of memory\n  Free memory")

    def test_ascii_output_stream_is_accepted(self, tiny_recipe: Path, tmp_path: Path) -> None:
        code = (
            "import io, sys\n"
            "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='ascii')\n"
            "from pipeline.__main__ import main\nmain()\n"
        )
        process = start_command("run", tiny_recipe, "--run-dir", tmp_path / "run", "--until", "data", code=code)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "-- data" in out


@pytest.mark.parametrize(("name", "code"), [("torch", 4), ("onnxruntime.capi", 4), ("pipeline.nothing", 1), (None, 1)])
def test_missing_package_of_an_extra_differs_from_a_missing_module_of_the_project(
    name: str | None, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.__main__ import _missing

    assert _missing(ModuleNotFoundError("gone", name=name), debug=False) == code
    message = capsys.readouterr().err
    assert ("make install" in message) == (code == 4) and "Traceback" not in message
