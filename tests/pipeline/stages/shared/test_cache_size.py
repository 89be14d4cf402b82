"""How large a teacher cache becomes, against one that is filled."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from exporters.core.errors import UsageError
from exporters.student.architectures import Architecture, build
from pipeline.models.outputs import NetworkShape
from pipeline.models.tapped import TappedNetwork
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.shared.cache_size import cache_bytes, is_served, kept_outputs, own_cache_bytes, require_allowed
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


def test_kept_outputs_larger_than_allowed_are_refused_with_what_would_fit() -> None:
    def error(needed: float, seen: float = 0, **cache: object) -> UsageError:
        with pytest.raises(UsageError) as caught:
            require_allowed(recipe(passes=10, **cache).distill.teacher_cache, int(needed), int(seen))
        return caught.value

    for size, allowed in ((1e12, None), (2e9, 2.0)):
        require_allowed(recipe(passes=10, max_gb=allowed).distill.teacher_cache, int(size))
        require_allowed(recipe(passes=10, max_gb=allowed).distill.teacher_cache, int(size) // 2, int(size) // 2)
    found = error(3e9, max_gb=2.0)
    assert found.message == (
        "distill.teacher_cache.max_gb: the teacher cache would take 3.00 GB in 10 epochs, and 2.00 GB are allowed"
    )
    assert found.remedy == (
        "Set distill.teacher_cache.storage to float16 or set distill.teacher_cache.passes to 6 or less or raise it."
    )
    assert error(3e9, max_gb=0.2, storage="float16").remedy == "Raise it."
    found = error(3e9, 1e9, max_gb=3.1, storage="float16")
    assert "3.00 GB in 10 epochs and what CLIP says of whole images 1.00 GB, and 3.10 GB are allowed" in found.message
    assert found.remedy == ("Set distill.teacher_cache.passes to 7 or less or raise it.")
    found = error(0, 5e9, max_gb=2.0)
    assert found.message.endswith(": what CLIP says of whole images would take 5.00 GB, and 2.00 GB are allowed")
    assert found.remedy == (
        "Set distill.teacher_cache.storage to float16 (not enough by itself) or set distill.weighting.seen to crop or"
        " raise it."
    )


def test_own_cache_is_that_of_the_method_alone() -> None:
    shape = NetworkShape(10, 64, (4, 4), has_cam=True)
    kept = list(kept_outputs((recipe(passes=3),), shape))
    assert kept == ["logits", "feature_map"]
    # 3 epochs of 50 images in 2 views: float32 logits and a map pooled to 2 × 2, each with a mark of a byte.
    assert own_cache_bytes(recipe(passes=3), 50, 2, shape) == 3 * 50 * 2 * (4 * 10 + 1 + 4 * 64 * 4 + 1)
    assert own_cache_bytes(recipe(passes=0), 50, 2, shape) == 0
    assert own_cache_bytes(recipe("fitnet", passes=3), 50, 2, shape) == 0
