"""The teacher cache in a run: same losses, kept between runs, never confused with another teacher's."""

import io
import json
from pathlib import Path

import pytest
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision

from exporters.core.files import read_json
from pipeline.console import Console
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.stage import StageContext
from pipeline.stages.distill import DistillStage
from pipeline.stages.shared.inputs import Data
from pipeline.stages.shared.networks import image_geometry
from pipeline.stages.shared.teacher_cache import _kept, _key, student_augmentation
from pipeline.stages.shared.teachers import read_teacher_parts
from pipeline.tmkd.choice import FusionChoice
from pipeline.tmkd.views.settings import EdgeView
from pipeline.training.device import make_fabric
from tests.pipeline.conftest import Outcome, Run, set_
from tests.pipeline.stages.contexts import context_of

CACHED = {"distill.teacher_cache.passes": 2}


def last_losses(run: Run) -> dict[str, float]:
    rows = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    return {key: value for key, value in rows[-1].items() if key.startswith("loss_")}


def files(run: Run) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (run.directory / "cache").rglob("*.npy")}


def test_cache_of_all_passes_does_not_change_the_losses(finished: tuple[Run, Outcome], run: Run) -> None:
    before = last_losses(finished[0])
    outcome = run(*set_(CACHED), "--until", "distill")
    assert outcome.code == 0 and outcome.stages_run == ["distill"], outcome.err
    # Maps are pooled before they are fused, which rounds differently.
    assert last_losses(run) == pytest.approx(before, rel=1e-3)
    assert {name.partition("-")[0] for name in files(run)} == {"logits", "map2", "embedding"}


def test_cached_outputs_serve_other_weights_and_weightings(run: Run) -> None:
    assert run(*set_(CACHED), "--until", "distill").code == 0
    kept = files(run)
    for values in (
        {"distill.logits.weight": 0.25},
        {"distill.weighting.by": "teacher_confidence"},
        {"distill.method": "kd"},
    ):
        outcome = run(*set_(CACHED | values), "--until", "distill")
        assert outcome.code == 0 and "MB are there from before" in outcome.out
        assert files(run) == kept


@pytest.mark.parametrize(
    "values",
    [
        {"seed": 5},
        {"data.augment.flip": "false"},
        {"teacher.visual.fit.epochs": 2},
        {"distill.views.edge.strength": 0.5},
    ],
    ids=str,
)
def test_another_teacher_seed_augmentation_or_view_has_entries_of_its_own(run: Run, values: dict[str, object]) -> None:
    assert run(*set_(CACHED), "--until", "distill").code == 0
    kept = set((run.directory / "cache").rglob("*.npy"))
    assert run(*set_(CACHED | values), "--until", "distill").code == 0
    assert set((run.directory / "cache").rglob("*.npy")) > kept


def _seeded(seed: int, share: str, tmp_path: Path, passes: int = 2) -> tuple[str, int]:
    """Key of the cache, and seed of the augmentation, of a recipe whose splits have the seed 7."""
    cache = {"passes": passes, "share": share}
    recipe = Recipe.model_validate({"seed": seed, "data": {"split_seed": 7}, "distill": {"teacher_cache": cache}})
    context = StageContext(recipe, RunDirectory(tmp_path), Console(io.StringIO(), plain=True), "fingerprint")
    augmentation = student_augmentation(recipe, Data(None, None, image_geometry(recipe)))  # type: ignore[arg-type]
    assert augmentation.cycle == passes
    return _key(context, make_fabric("cpu", "fp32")), augmentation.seed


@pytest.mark.parametrize(("share", "seeds"), [("none", (3, 4)), ("auto", (3, 4)), ("seeds", (7, 7))])
def test_seeds_share_a_cache_and_its_augmentation_only_where_asked(
    share: str, seeds: tuple[int, int], tmp_path: Path
) -> None:
    keys, augmented = zip(*(_seeded(seed, share, tmp_path) for seed in (3, 4)), strict=True)
    assert augmented == seeds
    assert (keys[0] == keys[1]) is (share == "seeds")


def test_without_a_cache_augmentation_follows_the_seed(tmp_path: Path) -> None:
    assert _seeded(3, "seeds", tmp_path, passes=0)[1] == 3


def test_another_seed_finds_a_shared_cache_and_gives_another_student(run: Run) -> None:
    shared = CACHED | {"distill.teacher_cache.share": "seeds"}
    assert run(*set_(shared), "--until", "distill").code == 0
    kept, losses = files(run), last_losses(run)
    outcome = run(*set_(shared | {"seed": 5}), "--until", "distill")
    assert outcome.code == 0 and "MB are there from before" in outcome.out
    assert files(run) == kept and last_losses(run) != losses


def test_plain_training_replays_the_same_images(run: Run) -> None:
    """So that methods with and without a teacher see the same."""
    stage = DistillStage()
    recipes = [
        load_recipe(run.recipe, ["distill.method=ce", f"distill.teacher_cache.passes={n}"]).recipe for n in (0, 1)
    ]
    assert stage.parameters(recipes[0]) != stage.parameters(recipes[1])
    endless, replayed = [], []
    for passes, losses in ((0, endless), (1, replayed)):
        outcome = run(*set_({"distill.method": "ce", "distill.teacher_cache.passes": passes}), "--until", "distill")
        assert outcome.code == 0
        rows = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
        losses += [row["loss"] for row in rows if row["stage"] == "distill"]
    assert endless[0] == replayed[0] and endless[1] != replayed[1]
    assert not (run.directory / "cache" / "teacher").exists()


def test_cache_may_be_in_another_folder(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path / "a").cache == tmp_path / "a" / "cache"
    assert RunDirectory(tmp_path / "a", cache=tmp_path / "shared").cache == tmp_path / "shared"


def _folder(tmp_path: Path, asked: str, fabric: Fabric) -> str:
    """Name of the folder of the cache, where a recipe asks for a precision and a Fabric computes."""
    recipe = Recipe.model_validate({"train": {"precision": asked}})
    context = StageContext(recipe, RunDirectory(tmp_path), Console(io.StringIO(), plain=True), "fingerprint")
    return _key(context, fabric)


def test_cache_of_one_precision_is_never_read_in_another(tmp_path: Path) -> None:
    bf16, fp32 = make_fabric("cpu", "bf16"), make_fabric("cpu", "fp32")
    fp16 = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", device="cpu"))
    # `auto` is the first on one card, the second on another.
    assert len({_folder(tmp_path, "auto", fabric) for fabric in (bf16, fp16, fp32)}) == 3
    assert _folder(tmp_path, "auto", bf16) == _folder(tmp_path, "bf16", bf16)  # however it was asked for


def test_embeddings_are_kept_only_where_clip_looks_at_the_chosen_views(finished: tuple[Run, Outcome]) -> None:
    """Views left open may end as rgb alone: a column that is never written would never be found complete."""
    context = context_of(finished[0], distill__views="auto")
    parts = read_teacher_parts(context_of(finished[0]), make_fabric("cpu", "fp32"))
    for views, kept in (({}, False), ({"edge": EdgeView()}, True)):
        teacher = parts.teacher(FusionChoice(views=views, temperature=1.0))
        assert ("embeddings" in _kept(context, teacher, ())) is kept


def test_what_other_arms_use_is_kept_too_where_this_teacher_sees_their_views(finished: tuple[Run, Outcome]) -> None:
    run = finished[0]
    contexts = {name: context_of(run, distill__method=name) for name in ("tmkd", "kd", "rkd", "ce")}
    recipes = [context.recipe for context in contexts.values()]
    parts = read_teacher_parts(contexts["tmkd"], make_fabric("cpu", "fp32"))
    wide = parts.teacher(FusionChoice(views={"edge": EdgeView()}, temperature=1.0))
    narrow = parts.teacher(FusionChoice(views={}, temperature=1.0))
    assert set(_kept(contexts["tmkd"], wide, recipes)) == {"logits", "feature_map", "embeddings", "pooled"}
    assert set(_kept(contexts["kd"], narrow, recipes)) == {"logits", "pooled"}  # tmkd asks for views of its own


def test_cache_is_not_a_stage_output(run: Run) -> None:
    assert run(*set_(CACHED), "--until", "distill").code == 0
    assert not any("cache" in name for name in read_json(run.directory / "stages" / "distill.json")["outputs"])
