"""What can be said of a run without its data: the same as the run says, whatever is not here."""

import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from exporters.core.errors import TmkdError, UnavailableError, UsageError
from pipeline.preflight import packages
from pipeline.preflight.base import Follows
from pipeline.preflight.without_run import MOST_PARAMETERS, Foreseen, foresee, key_of
from pipeline.recipe import load_recipe
from tests.pipeline.preflight.conftest import TRAINING, Prospect

pytest.importorskip("torch")
STAGES = ("data", *TRAINING, "export", "parity")


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without anything that a recipe names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def look(
    *overrides: str, kinds: Collection[Follows] = ("recipe", "machine"), stages: Collection[str] = STAGES
) -> Foreseen:
    plain = ("teacher.visual.model=cifar:resnet8", "student.model=cifar:resnet8", "student.arguments={}")
    size = ("teacher.visual.arguments={}", "data.image_size=32", "device=cpu")
    return foresee(load_recipe("quickstart", [*plain, *size, *overrides]).recipe, stages, kinds)


def texts(errors: tuple[TmkdError, ...]) -> str:
    return "\n".join(map(str, errors))


def test_data_and_weights_that_are_not_here_are_not_asked_for(empty: Path) -> None:
    found = look(
        "data.dataset=folder", "data.root=photos", "student.weights=gone.pth", "teacher.visual.weights=imagenet"
    )
    assert found == Foreseen((), (), (), ()) and not list(empty.iterdir())


@pytest.mark.parametrize(
    "overrides",
    [
        ("student.model=vit_b_16", "student.arguments={image_size: 32, patch_size: 16}", "distill.base=cat_kd"),
        ("student.model=cifar:vgg8", "distill.method=fitnet"),
        ("student.arguments={no_such: 1}",),
        ("teacher.visual.arguments={no_such: 1}",),
        ("student.model=alexnet",),
        ("student.model=mobilenet_v2", "train.batch_size=1"),
        ("teacher.text.tower={model: resnet18, weights: imagenet, arguments: {no_such: 1}}",),
        ("distill.method=auto", "student.arguments={no_such: 1}"),
        ("distill.method=ce", "student.arguments={no_such: 1}"),
        ("distill.method=kd",),
    ],
)
def test_mistakes_are_those_that_a_run_finds(prospect: Prospect, overrides: tuple[str, ...]) -> None:
    both = ("data.image_size=32", "device=cpu", *overrides)
    recipe = load_recipe(prospect.recipe, both).recipe
    error, warnings = prospect.before_training(*both)
    found = foresee(recipe, ("data", *TRAINING))
    assert texts(found.mistakes) == ("" if error is None else str(error)), (error, found)
    assert set(found.warnings) <= set(warnings) and not found.machine and not found.left


def test_what_a_machine_lacks_is_no_mistake(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = look("teacher.runtime=openvino", "train.precision=fp16")
    assert not found.mistakes and all(isinstance(error, UnavailableError) for error in found.machine)
    assert "train.precision: fp16 needs a GPU" in texts(found.machine)
    found = look(
        "teacher.runtime=openvino", "distill.method=fitnet", "student.arguments={no_such: 1}", kinds=["machine"]
    )
    assert not found.mistakes and "teacher.runtime: OpenVINO is not installed" in texts(found.machine)


def test_networks_are_left_to_the_run_without_their_packages(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "timm" else object())
    found = look("student.arguments={no_such: 1}")
    assert not found.mistakes and found.left == ("networks whose packages are not installed",)
    assert texts(found.machine).startswith("timm is not installed, and this run needs it")


def test_packages_of_other_stages_leave_networks_to_be_looked_at(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "onnxruntime" else object())
    found = look("student.arguments={no_such: 1}")
    assert "no_such" in texts(found.mistakes) and not found.left
    assert texts(found.machine).startswith("onnxruntime is not installed, and this run needs it")


def test_keys_are_told_from_other_words_before_a_colon() -> None:
    assert key_of(UnavailableError("export.tensorrt: libnvinfer.so: cannot open")) == "export.tensorrt"
    for message in ("a package cannot be imported (libcuda.so: cannot open)", "timm is not installed"):
        assert key_of(UnavailableError(message)) is None


def test_package_that_is_broken_is_named(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pipeline.preflight.networks", None)
    found = look()
    assert not found.mistakes and "a package cannot be imported (" in texts(found.machine)


def test_large_networks_are_left_to_the_run(empty: Path) -> None:
    found = look("teacher.visual.model=vit_l_16", "data.image_size=224")
    assert not found.mistakes and not found.machine
    (left,) = found.left
    assert left.startswith("teacher.visual.model: vit_l_16 (304 million parameters, 224 × 224 pixels) is not built")
    assert MOST_PARAMETERS < 304e6
    # Its size is that of its weights too, however few pixels it is to see.
    (left,) = look("teacher.visual.model=vit_l_16", "data.image_size=32").left
    assert "vit_l_16 (304 million parameters, 32 × 32 pixels)" in left
    # A small network beside it is still looked at, and so is one that is large for its pixels.
    found = look("teacher.visual.model=vit_l_16", "student.arguments={no_such: 1}", "data.image_size=224")
    (mistake,) = found.mistakes
    assert isinstance(mistake, UsageError) and mistake.message.startswith("student: ")
    (left,) = look("student.model=resnet50", "data.image_size=1024", "distill.method=ce", stages=["distill"]).left
    assert left.startswith("student.model: resnet50 (26 million parameters, 1024 × 1024 pixels) is not built")


def test_prompts_with_mistakes_are_found_and_missing_ones_left_to_the_check_of_files(empty: Path) -> None:
    (empty / "own.yaml").write_text("views: {edge: ['a {}']}")
    wanted = ("distill.method=tmkd", "teacher.text.weights=fit", "distill.weighting.by=text")
    (mistake,) = look(*wanted, "teacher.text.prompts=own.yaml").mistakes
    assert "own.yaml" in mistake.message
    assert not look(*wanted, "teacher.text.prompts=gone.yaml").mistakes
