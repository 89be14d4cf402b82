"""Prompts and the words for the classes, before anything is trained."""

from pathlib import Path

from pipeline.preflight import names
from tests.pipeline.conftest import CLASSES
from tests.pipeline.preflight.conftest import Prospect


def test_two_classes_of_one_name_are_refused(prospect: Prospect, tmp_path: Path) -> None:
    words = tmp_path / "words.yaml"
    words.write_text("red_disc: shape\ngreen_square: Shape\nblue_bar: bar\n")
    report = prospect.report(names.check_class_names, f"teacher.text.class_names={words}")
    (error,) = report.errors
    assert error.exit_code == 2 and "are both called 'shape'" in error.message


def test_class_folders_named_by_codes_are_warned_of(prospect: Prospect) -> None:
    subject = prospect.subject()
    subject.index.classes[:] = ["c1", "c2", "c10"]
    report = prospect.report(lambda _subject, _report: None)
    names.check_class_names(subject, report)
    (warning,) = report.warnings
    assert "3 of 3 classes have a code for a name, such as c1" in warning
    assert "teacher.text.class_names" in warning


def test_words_are_not_warned_of(prospect: Prospect) -> None:
    report = prospect.report(names.check_class_names)
    assert not report.errors and not report.warnings and len(CLASSES) == 3


def test_broken_prompts_file_is_reported_first(prospect: Prospect, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text("views: {edge: [no placeholder]}\n")
    error, _ = prospect.before_training(f"teacher.text.prompts={prompts}")
    assert error is not None and error.exit_code == 2
    assert "views.rgb: missing" in error.message and "views.edge[0]" in error.message


def test_weights_of_unknown_classes_are_refused(prospect: Prospect) -> None:
    (error,) = prospect.report(names.check_class_weights, "train.class_weights={blue_bra: 2}").errors
    assert error.exit_code == 2 and "train.class_weights: 'blue_bra' is no class" in error.message
    assert error.remedy == "Did you mean blue bar?"
    assert not prospect.report(names.check_class_weights, "train.class_weights={blue_bar: 2}").errors
    section = "teacher.visual.fit.class_weights"
    (error,) = prospect.report(names.check_class_weights, f"{section}={{x: 2}}").errors
    assert error.message.startswith(section)
