"""The multi-view teacher: lines 1 to 8 in one call, from a batch to one fused teacher output."""

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from pipeline.models.deployment.choice import Decision
from pipeline.models.deployment.deployed import DeployedClassifier, DeployedTower
from pipeline.models.deployment.sharding import ShardedNetwork, in_step, keep_step
from pipeline.models.outputs import NetworkOutput
from pipeline.models.tapped import TappedNetwork
from pipeline.timing import PartTimer
from pipeline.tmkd.choice import ScoreStatistics
from pipeline.tmkd.fusion import fuse_output, own_view_weights, split_views
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.weight_rule import WeightRule
from pipeline.tmkd.weighting import ViewWeighting

T = TypeVar("T")


@dataclass(frozen=True)
class ViewedBatch:
    """The teachers' outputs on a batch, before labels are used.

    Attributes:
        output: of the visual teacher, each tensor `[V, B, …]`.
        embeddings: `[V, B, D]` of CLIP's image tower; None where the weights need none.
    """

    output: NetworkOutput
    embeddings: Tensor | None


class MultiViewTeacher:
    """A frozen visual teacher on several views, fused by the scores of a view weighting.

    With `views` of rgb alone it is the ordinary teacher, whatever the weighting says.

    Args:
        visual: the visual teacher, on the device, as a network (put into eval mode, its gradients off) or deployed.
        views: rgb and what the recipe adds.
        weighting: scores the views of each image.
        temperature: τ_w.
        image_tower: images `[n, 3, H, W]` in `[0, 1]` → `[n, D]`, where the weighting asks for embeddings.
        statistics: of the scores of each view, in their order, where they are standardised.
        projection: pooled features `[n, C]` of the visual teacher → `[n, D]`, where it is CLIP's image tower itself: it
            then looks once for both; in the place of `image_tower`.

    Attributes:
        rule: gives the weights.
        timer: on which it marks its parts `views` and `clip`.
    """

    def __init__(
        self,
        visual: TappedNetwork | DeployedClassifier,
        views: Views,
        weighting: ViewWeighting,
        temperature: float,
        image_tower: Callable[[Tensor], Tensor] | None = None,
        statistics: tuple[ScoreStatistics, ...] | None = None,
        projection: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.visual = visual if isinstance(visual, DeployedClassifier) else visual.eval().requires_grad_(False)
        self.views = views
        self.rule = WeightRule(weighting, temperature, statistics)
        self.timer = PartTimer()
        self._image_tower = image_tower
        self._projection = projection
        self._whole: Callable[[Tensor], Tensor] | None = None

    @property
    def has_image_tower(self) -> bool:
        """Whether CLIP looks at the views too: it does not where it has looked at whole images (`seeing`)."""
        return self._whole is None and (self._image_tower is not None or self._projection is not None)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """How the deployed teachers are run: the visual one, and CLIP's image tower where it is another network."""
        deployed = (DeployedClassifier, DeployedTower)
        return tuple(each.decision for each in (self.visual, self._image_tower) if isinstance(each, deployed))

    @property
    def tower_identity(self) -> str:
        """What the last bits of the embeddings follow from, beside the network that gives them; for keys of caches."""
        tower = self.visual if self._projection is not None else self._image_tower
        return tower.identity if isinstance(tower, DeployedClassifier | DeployedTower) else ""

    def keep_step(self, looks: bool) -> None:
        """Called before each possible `look`: where networks of it are sharded, and others look at images of theirs
        and this process does not, it computes with them (`pipeline.models.deployment.sharding.keep_step`)."""
        if self._looked_by:
            keep_step(self._looked_by, looks)

    def keep_embed_step(self, looks: bool) -> None:
        """As `keep_step`, before each possible `embed`."""
        if self._embedded_by:
            keep_step(self._embedded_by, looks)

    def in_step(self, batches: Iterable[T], *, looks: bool = True, embeds: bool = False) -> Iterable[T]:
        """This process's batches, in step with the others' (`pipeline.models.deployment.sharding.in_step`).

        Args:
            batches: of this process.
            looks: whether it calls `look` once in each.
            embeds: whether it calls `keep_embed_step` once in each, after the look.
        """
        looked_by = self._looked_by if looks else ()
        idle = partial(self.keep_embed_step, False) if embeds and self._embedded_by else None
        return in_step(looked_by, batches, idle) if looked_by or idle is not None else batches

    @property
    def _looked_by(self) -> tuple[ShardedNetwork, ...]:
        """The sharded networks that `look` calls, in its order."""
        return _sharded(self.visual, *([self._image_tower] if self.has_image_tower else []))

    @property
    def _embedded_by(self) -> tuple[ShardedNetwork, ...]:
        """Those that `embed` calls."""
        return _sharded(self._image_tower if self._projection is None else self.visual)

    @torch.no_grad()
    def look(self, images: Tensor) -> ViewedBatch:
        """The teachers' outputs on all views of a batch `[B, 3, H, W]` in `[0, 1]`, in one batch of `V·B` images."""
        with self.timer.part("views"):
            views = self._made(images)
        output = split_views(self.visual(views), len(self.views))
        if not self.has_image_tower:
            return ViewedBatch(output, None)
        with self.timer.part("clip"):
            if self._projection is not None:
                embeddings = self._projection(output.pooled.flatten(0, 1).float())
            else:
                assert self._image_tower is not None
                embeddings = self._image_tower(views)
            return ViewedBatch(output, embeddings.unflatten(0, output.logits.shape[:2]))

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """CLIP's embeddings `[V, B, D]` of all views of a batch, without the visual teacher unless it is the tower."""
        views = self._made(images)
        if self._projection is not None:
            embeddings = self._projection(self.visual(views).pooled.float())
        else:
            assert self._image_tower is not None
            embeddings = self._image_tower(views)
        return embeddings.unflatten(0, (len(self.views), len(images)))

    def _made(self, images: Tensor) -> Tensor:
        """The views `[V·B, 3, H, W]` of a batch."""
        return self.views(images).flatten(0, 1).contiguous(memory_format=torch.channels_last)

    def seeing(self, whole: Callable[[Tensor], Tensor]) -> "MultiViewTeacher":
        """The same teacher, whose CLIP has looked at whole images already and looks at no crop.

        Args:
            whole: positions in the training split `[B]` → the embeddings `[V, B, D]` of those images.
        """
        other = copy(self)
        other._whole = whole
        return other

    def remembered(self, viewed: ViewedBatch, indices: Tensor | None) -> ViewedBatch:
        """The same outputs, with CLIP's embeddings of whole images where weights follow from these (`seeing`)."""
        if self._whole is None:
            return viewed
        assert indices is not None
        with self.timer.part("cache"):
            return replace(viewed, embeddings=self._whole(indices))

    def weigh(self, viewed: ViewedBatch, labels: Tensor) -> Tensor:
        """View weights `[B, V]` under the given labels `[B]`."""
        return self.rule.weigh(viewed.embeddings, viewed.output.logits, labels)

    def weigh_label_free(self, viewed: ViewedBatch) -> Tensor:
        """Weights `[B, V]` with the argmax of the views' mean logits in the place of the labels."""
        return self.rule.weigh_label_free(viewed.embeddings, viewed.output.logits)

    @torch.no_grad()
    def fuse(self, viewed: ViewedBatch, labels: Tensor, shown: Tensor | None = None) -> NetworkOutput:
        """The views of training images as one teacher, weighted under their true labels.

        Args:
            viewed: of `look`.
            labels: `[B]` int64, the true ones.
            shown: `[B]` int64, the view in which the student sees each image. Where that is not rgb, the answer is the
                teacher's own on this very view, not the fused one. None: the student sees rgb everywhere.
        """
        weights, output = self.weigh(viewed, labels), viewed.output
        if shown is not None:
            shown = shown.to(weights.device)
            weights = own_view_weights(weights, shown)
        output = output._replace(
            feature_map=None if output.feature_map is None else self._in_place(output.feature_map, shown),
            stage_maps=tuple(self._in_place(maps, shown) for maps in output.stage_maps),
        )
        return fuse_output(weights, output)

    def _in_place(self, maps: Tensor, shown: Tensor | None) -> Tensor:
        """Maps `[V, B, C, h, w]` with places as in what the student sees: the image, or the shown view."""
        aligned = self.views.aligned(maps)
        return aligned if shown is None else torch.where((shown == 0).view(1, -1, 1, 1, 1), aligned, maps)

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        epoch: int = 0,
        indices: Tensor | None = None,
        shown: Tensor | None = None,
    ) -> NetworkOutput:
        """The teacher's answer to training images.

        Args:
            images: `[B, 3, H, W]` in `[0, 1]`, on the device, plain.
            labels: `[B]` int64, the true ones.
            epoch: not used; a `CachedTeacher` has the same signature.
            indices: `[B]` int64, positions in the training split, on the CPU; used where weights follow from whole
                images.
            shown: as for `fuse`.
        """
        return self.fuse(self.remembered(self.look(images), indices), labels, shown)


def _sharded(*networks: object) -> tuple[ShardedNetwork, ...]:
    deployed = (each for each in networks if isinstance(each, DeployedClassifier | DeployedTower))
    return tuple(each.sharded for each in deployed if each.sharded is not None)
