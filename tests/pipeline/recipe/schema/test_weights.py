"""The keys that describe weights: normalisation, hash, and the lock that proves which they were."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.recipe.schema.weights import names_file

Write = Callable[[str], str]
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
DIGEST = "0a" * 32
NO_TOWER = "teacher.text.tower=null"


def mistakes(*overrides: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load_recipe("quickstart", [NO_TOWER, *overrides])
    return caught.value.message.splitlines()


@pytest.mark.parametrize("section", ["student", "teacher.visual"])
class TestNormalisation:
    def test_mean_and_std_are_read(self, section: str) -> None:
        recipe = load_recipe(
            "quickstart", [f"{section}.mean={list(CIFAR_MEAN)}", f"{section}.std={list(CIFAR_STD)}"]
        ).recipe
        found = recipe.student if section == "student" else recipe.teacher.visual
        assert (found.mean, found.std) == (CIFAR_MEAN, CIFAR_STD)

    @pytest.mark.parametrize(("given", "missing"), [("mean", "std"), ("std", "mean")])
    def test_mean_without_std_is_a_mistake(self, section: str, given: str, missing: str) -> None:
        assert mistakes(f"{section}.{given}=[0.5, 0.5, 0.5]") == [
            f"--set {section}.{given}=[0.5, 0.5, 0.5]: {section}.{missing}: expected three numbers where"
            f" {section}.{given} is given, got nothing"
        ]

    @pytest.mark.parametrize(
        ("key", "value", "expected"),
        [
            ("mean", "[0.5, 0.5, 1.5]", "mean[2]: expected a number ≥ 0 and ≤ 1, got 1.5"),
            ("mean", "[-0.1, 0.5, 0.5]", "mean[0]: expected a number ≥ 0 and ≤ 1, got -0.1"),
            ("std", "[0.2, 0, 0.2]", "std[1]: expected a number > 0 and ≤ 1, got 0"),
            ("std", "[0.2, 0.2, 58.4]", "std[2]: expected a number > 0 and ≤ 1, got 58.4; did you mean 0.229?"),
            ("std", "[0.2, 0.2]", "std: expected a list of 3 values, each a number > 0 and ≤ 1 or null"),
            ("mean", "0.5", "mean: expected a list of 3 values, each a number ≥ 0 and ≤ 1 or null"),
        ],
    )
    def test_values_out_of_bounds_are_mistakes(self, section: str, key: str, value: str, expected: str) -> None:
        other = "std" if key == "mean" else "mean"
        (line,) = mistakes(f"{section}.{other}=[0.5, 0.5, 0.5]", f"{section}.{key}={value}")
        assert f"{section}.{expected}" in line

    @pytest.mark.parametrize(
        ("key", "value", "meant"),
        [
            ("mean", "[123.675, 116.28, 103.53]", "[0.485, 0.456, 0.406]"),
            ("std", "[58.395, 57.12, 57.375]", "[0.229, 0.224, 0.225]"),
            ("mean", "[127, 127, 127]", "[0.498, 0.498, 0.498]"),
        ],
    )
    def test_byte_values_are_suggested_divided_by_255(self, section: str, key: str, value: str, meant: str) -> None:
        other = "std" if key == "mean" else "mean"
        (line,) = mistakes(f"{section}.{other}=[0.5, 0.5, 0.5]", f"{section}.{key}={value}")
        assert f"{section}.{key}: expected three numbers for images in [0, 1]" in line
        assert f"divided by 255: {meant}" in line and f"got {value}" in line


@pytest.mark.parametrize("section", ["student", "teacher.visual"])
class TestFile:
    @pytest.mark.parametrize("name", ["a.pth", "a.PT", "a.pth.tar", "a.ckpt", "a.th", "a.bin", "a.safetensors"])
    def test_suffixes_of_weights_are_taken(self, section: str, name: str) -> None:
        recipe: Any = load_recipe(
            "quickstart", [f"{section}.weights={name}", f"{section}.weights_key=model_ema"]
        ).recipe
        for part in section.split("."):
            recipe = getattr(recipe, part)
        assert (recipe.weights, recipe.weights_key) == (name, "model_ema")

    @pytest.mark.parametrize("name", ["a.onnx", "a.npz", "./net", "a.pth.zip"])
    def test_files_of_another_kind_are_mistakes(self, section: str, name: str) -> None:
        (line,) = mistakes(f"{section}.weights={name}")
        assert f"{section}.weights: expected a file of weights (.safetensors, .pt" in line and f"got '{name}'" in line

    def test_weights_key_needs_a_file(self, section: str) -> None:
        (line,) = mistakes(f"{section}.weights=imagenet", f"{section}.weights_key=model_ema")
        assert f"{section}.weights_key: expected null for {section}.weights imagenet, which is no file" in line


@settings(deadline=None, max_examples=25)
@given(
    mean=st.tuples(*[st.floats(0, 1)] * 3),
    std=st.tuples(*[st.floats(0, 1, exclude_min=True)] * 3),
)
def test_any_normalisation_survives_the_lock(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    recipe = Recipe.model_validate({"student": {"mean": list(mean), "std": list(std)}})
    assert Recipe.model_validate(yaml.safe_load(recipe.to_yaml())).student == recipe.student


class TestHash:
    @pytest.mark.parametrize(
        ("section", "weights"),
        [
            ("student", "none"),
            ("student", "imagenet"),
            ("teacher.visual", "none"),
            ("teacher.visual", "imagenet"),
            ("teacher.text", "fit"),
            ("teacher.text", "laion2b_s34b_b79k"),
        ],
    )
    def test_hash_needs_a_file(self, section: str, weights: str) -> None:
        model = ["teacher.text.model=ViT-B-32"] if weights.startswith("laion") else []
        (line,) = mistakes(*model, f"{section}.weights={weights}", f"{section}.sha256={DIGEST}")
        assert line.endswith(f"{section}.sha256: expected null for {section}.weights {weights}, which is no file, "
                             "got a hash")  # fmt: skip

    @pytest.mark.parametrize("section", ["student", "teacher.visual", "teacher.text"])
    @pytest.mark.parametrize("digest", [DIGEST, DIGEST.upper()])
    def test_hash_of_a_file_is_accepted(self, section: str, digest: str) -> None:
        given = [NO_TOWER, f"{section}.weights=w.pth", f"{section}.sha256={digest}"]
        recipe: Any = load_recipe("quickstart", given).recipe
        for part in section.split("."):
            recipe = getattr(recipe, part)
        assert recipe.weights == "w.pth" and recipe.sha256.lower() == DIGEST.lower()

    @pytest.mark.parametrize("value", ["abc", DIGEST + "0", "g" * 64, "''", "5"])
    def test_invalid_hash_is_a_mistake(self, value: str) -> None:
        (line,) = mistakes("student.weights=w.pth", f"student.sha256={value}")
        assert "student.sha256: expected 64 hexadecimal digits or null, got " in line

    @pytest.mark.parametrize(
        ("weights", "is_file"),
        [("a.pth", True), ("~/net", True), ("a\\net", True), ("x/y.npz", True), ("imagenet", False), ("fit", False),
         ("none", False), ("laion2b_s34b_b79k", False)],
    )  # fmt: skip
    def test_file_names_are_recognised(self, weights: str, is_file: bool) -> None:
        assert names_file(weights) is is_file


def hashes_in(recipe: Recipe) -> dict[str, Any]:
    """The hash that the lock has in each section."""
    lock = yaml.safe_load(recipe.to_yaml())
    found = {f"teacher.{name}": lock["teacher"][name]["sha256"] for name in ("visual", "text")}
    return {"student": lock["student"]["sha256"], **found}


class TestLock:
    def test_hashes_of_files_are_filled_in(self, tmp_path: Path, write: Write) -> None:
        files = {section: tmp_path / f"{section}.pth" for section in ("student", "teacher.visual", "teacher.text")}
        for section, path in files.items():
            path.write_bytes(section.encode())
        given = [f"{section}.weights={path}" for section, path in files.items()]
        recipe = load_recipe("quickstart", [NO_TOWER, *given]).recipe
        assert hashes_in(recipe) == {name: hashlib.sha256(name.encode()).hexdigest() for name in files}
        assert recipe.resolved()["student"]["sha256"] is None  # the recipe itself stays as it was written
        again = load_recipe(write(recipe.to_yaml())).recipe
        assert again.to_yaml() == recipe.to_yaml()

    def test_a_hash_that_was_given_stays(self, tmp_path: Path) -> None:
        (tmp_path / "w.pth").write_bytes(b"other")
        recipe = load_recipe("quickstart", [f"student.weights={tmp_path / 'w.pth'}", f"student.sha256={DIGEST}"]).recipe
        assert hashes_in(recipe)["student"] == DIGEST

    def test_names_and_missing_files_have_no_hash(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("none", "imagenet", "fit"):
            Path(name).write_bytes(b"not weights")
        assert set(hashes_in(load_recipe("quickstart", ["student.weights=absent.pth"]).recipe).values()) == {None}


def test_teacher_judgement_settings_are_read_and_checked() -> None:
    recipe = load_recipe("quickstart").recipe
    assert (recipe.teacher.on_weak, recipe.student.baseline) == ("warn", "full")
    recipe = load_recipe("quickstart", ["teacher.on_weak=fail", "student.baseline=0.61"]).recipe
    assert (recipe.teacher.on_weak, recipe.student.baseline) == ("fail", 0.61)
    lines = mistakes("teacher.on_weak=stop", "student.baseline=61")
    assert "teacher.on_weak: expected warn or fail, got 'stop'" in lines[0]
    assert "student.baseline: expected auto, full, a number ≥ 0 and ≤ 1 or null, got 61" in lines[1]


@pytest.mark.parametrize(("size", "taken"), [(16, True), (1024, True), (15, False), (1025, False)])
def test_teacher_size_is_bounded(size: int, taken: bool) -> None:
    if taken:
        recipe = load_recipe("quickstart", [f"teacher.visual.image_size={size}"]).recipe
        assert recipe.teacher.visual.image_size == size
    else:
        (line,) = mistakes(f"teacher.visual.image_size={size}")
        assert f"expected an integer ≥ 16 and ≤ 1024 or null, got {size}" in line
