"""How large a teacher cache becomes, against one that is filled."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from exporters.student.architectures import Architecture, build
from pipeline.models.tapped import TappedNetwork
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.shared.cache_size import cache_bytes, is_served, kept_outputs, room_problem
from pipeline.tmkd.cache_folders import cache_size
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.weighting import uniform_weighting
from pipeline.training.teacher_cache import CachedTeacher


def recipe(method: str = "tmkd", base: str = "cat_kd", pool: int = 2, **cache: object) -> Recipe:
    distill = {"method": method, "base": base, "feature": {"pool": pool}, "teacher_cache": {"passes": 3} | cache}
    return Recipe.model_validate({"distill": distill})


def tower(views: Tensor) -> Tensor:
    return views.flatten(1)[:, :24]


@pytest.mark.parametrize("storage", ["float32", "float16"])
@pytest.mark.parametrize(("base", "stages"), [("cat_kd", False), ("rkd", False), ("reviewkd", True)])
def test_predicted_size_is_that_of_a_full_cache_within_two_per_cent(
    base: str, stages: bool, storage: str, tmp_path: Path
) -> None:
    images, asked = 400, recipe(base=base, storage=storage, stages=stages)
    net = TappedNetwork(build(Architecture("resnet8", "cifar"), 50), (0.5,) * 3, (0.2,) * 3, 16)
    net.tap_stages = stages
    views = Views(asked.distill.possible_views)
    kept = kept_outputs((asked,), net.shape) | {"embeddings": "embedding-0"}
    teacher = MultiViewTeacher(net, views, uniform_weighting, 1.0, tower)
    cached = CachedTeacher(teacher, tmp_path, 3, images, kept, pool=2, storage=storage)
    labels = torch.zeros(200, dtype=torch.int64)
    for epoch in range(3):
        for half in range(2):
            cached(torch.rand(200, 3, 16, 16), labels, epoch, torch.arange(200) + 200 * half)
    cached.commit()
    predicted = cache_bytes(asked, kept, images, len(views), net.shape, text_width=24)
    # Files end at whole blocks: their number is no matter where a cache is large.
    blocks = 4096 * len(list(tmp_path.rglob("*.npy")))
    assert 0.98 * predicted <= cache_size(tmp_path) <= 1.02 * predicted + blocks


def test_what_methods_use_is_kept_once_for_all() -> None:
    shape = TappedNetwork(build(Architecture("resnet8", "cifar"), 5), (0.5,) * 3, (0.2,) * 3, 16).shape
    assert list(kept_outputs((recipe("kd"),), shape)) == ["logits"]
    assert kept_outputs((recipe(pool=4), recipe("rkd")), shape) == {
        "logits": "logits",
        "pooled": "pooled",
        "feature_map": "map4",
    }
    assert list(kept_outputs((recipe(base="fitnet"),), shape)) == ["logits", "stage0", "stage1", "stage2"]


def test_maps_of_stages_are_kept_where_asked() -> None:
    assert is_served(recipe()) and not is_served(recipe("ce"))
    assert not is_served(recipe("fitnet")) and is_served(recipe("fitnet", stages=True))


def test_a_cache_larger_than_allowed_is_refused_with_what_would_fit() -> None:
    def problem(needed: float, **cache: object) -> tuple[str, str] | None:
        return room_problem(recipe(passes=10, **cache).distill.teacher_cache, int(needed))

    assert problem(1e12) is None and problem(2e9, max_gb=2.0) is None
    found = problem(3e9, max_gb=2.0)
    assert found is not None and "would take 3 GB in 10 epochs, and 2 GB are allowed" in found[0]
    assert found[1] == (
        "Set distill.teacher_cache.storage to float16 or set distill.teacher_cache.passes to 6 or less or raise it."
    )
    assert (found := problem(3e9, max_gb=0.2, storage="float16")) is not None and found[1] == "Raise it."
