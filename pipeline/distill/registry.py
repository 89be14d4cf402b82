"""The distillation methods by name. No torch here: recipes are checked against this table.

A new method is one file in `pipeline/distill/methods` and one entry here.
"""

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class MethodEntry:
    """What is known of a method before torch is loaded.

    Attributes:
        module: `"package.module:Class"`.
        losses: which of `"feature"` and `"logits"` the method has, in its own form.
        ce_weight: default weight of the cross-entropy, μ.
        feature_weight: default weight of its feature loss, β; None where it has none.
        logits_weight: default weight of its logit loss, α; None where it has none.
        logits_temperature: default temperature of its logit loss; None where it has none.
        ce_share, feature_share, logits_share: the default weights under `distill.balance: auto`, in units of the
            cross-entropy's pull on the student's features; `logits_share` also of a logit loss that `tmkd` adds.
        needs_teacher: whether it takes anything from a teacher.
        needs_pooled: whether it compares pooled features, so that both must have a linear classifier, which sees them.
        needs_feature_map: whether teacher and student must have a last feature map.
        needs_places: whether that map must have more than one pixel.
        needs_cam: whether their classifiers must be one linear layer on that map, pooled.
        needs_stages: whether both must have stages, and give their maps.
        can_be_base: whether `tmkd` can plug into it.
    """

    module: str
    losses: frozenset[str]
    ce_weight: float
    feature_weight: float | None = None
    logits_weight: float | None = None
    logits_temperature: float | None = None
    ce_share: float = 0.5
    feature_share: float = 0.5
    logits_share: float = 0.5
    needs_teacher: bool = True
    needs_pooled: bool = False
    needs_feature_map: bool = False
    needs_places: bool = False
    needs_cam: bool = False
    needs_stages: bool = False
    can_be_base: bool = True


METHODS: dict[str, MethodEntry] = {
    "ce": MethodEntry(
        module="pipeline.distill.methods.ce:CrossEntropy",
        losses=frozenset(),
        ce_weight=1.0,
        needs_teacher=False,
        can_be_base=False,
    ),
    "kd": MethodEntry(
        module="pipeline.distill.methods.kd:KnowledgeDistillation",
        losses=frozenset({"logits"}),
        ce_weight=0.1,
        logits_weight=0.9,
        logits_temperature=4.0,
    ),
    "dkd": MethodEntry(
        module="pipeline.distill.methods.dkd:DecoupledDistillation",
        losses=frozenset({"logits"}),
        ce_weight=1.0,
        logits_weight=1.0,
        logits_temperature=4.0,
    ),
    "logit_std": MethodEntry(
        module="pipeline.distill.methods.logit_std:LogitStandardisation",
        losses=frozenset({"logits"}),
        ce_weight=0.1,
        logits_weight=9.0,
        logits_temperature=2.0,
    ),
    "dist": MethodEntry(
        module="pipeline.distill.methods.dist:CorrelationDistillation",
        losses=frozenset({"logits"}),
        ce_weight=1.0,
        logits_weight=1.0,
        logits_temperature=4.0,
    ),
    "mlld": MethodEntry(
        module="pipeline.distill.methods.mlld:MultiLevelLogits",
        losses=frozenset({"logits"}),
        ce_weight=0.1,
        logits_weight=0.9,
        logits_temperature=4.0,
    ),
    "cat_kd": MethodEntry(
        module="pipeline.distill.methods.cat_kd:ClassAttentionTransfer",
        losses=frozenset({"feature"}),
        ce_weight=1.0,
        feature_weight=40.0,
        needs_feature_map=True,
        needs_cam=True,
    ),
    "crd": MethodEntry(
        module="pipeline.distill.methods.crd:ContrastiveRepresentation",
        losses=frozenset({"feature"}),
        ce_weight=1.0,
        feature_weight=0.8,
        needs_pooled=True,
    ),
    "rkd": MethodEntry(
        module="pipeline.distill.methods.rkd:RelationalDistillation",
        losses=frozenset({"feature"}),
        ce_weight=1.0,
        feature_weight=25.0,
        needs_pooled=True,
    ),
    "sp": MethodEntry(
        module="pipeline.distill.methods.sp:SimilarityPreserving",
        losses=frozenset({"feature"}),
        ce_weight=1.0,
        feature_weight=3000.0,
        needs_feature_map=True,
    ),
    "at": MethodEntry(
        module="pipeline.distill.methods.at:AttentionTransfer",
        losses=frozenset({"feature"}),
        ce_weight=1.0,
        feature_weight=500.0,
        needs_feature_map=True,
        needs_places=True,
    ),
    "fitnet": MethodEntry(
        module="pipeline.distill.methods.fitnet:HintTraining",
        losses=frozenset({"feature"}),
        ce_weight=1.0,
        feature_weight=100.0,
        needs_stages=True,
    ),
    "reviewkd": MethodEntry(
        module="pipeline.distill.methods.reviewkd:KnowledgeReview",
        losses=frozenset({"feature"}),
        ce_weight=1.0,
        feature_weight=1.0,
        needs_stages=True,
    ),
    # Its losses and weights are those of its base, completed by `pipeline.distill.loss_settings.resolve_losses`.
    "tmkd": MethodEntry(
        module="pipeline.distill.methods.tmkd:Tmkd",
        losses=frozenset({"feature", "logits"}),
        ce_weight=1.0,
        can_be_base=False,
    ),
}


def base_methods() -> tuple[str, ...]:
    """Names that `distill.base` takes."""
    return tuple(name for name, entry in METHODS.items() if entry.can_be_base)


def needs_stages(method: str, base: str) -> bool:
    """Whether `distill.method` (with `tmkd`, its `base`) takes the maps of several stages."""
    return METHODS[base if method == "tmkd" else method].needs_stages


def load_method(name: str) -> Any:
    """The class of a registered method, a `pipeline.distill.methods.base.Method`; loads torch.

    Raises:
        KeyError: no such method.
    """
    module, _, attribute = METHODS[name].module.partition(":")
    return getattr(importlib.import_module(module), attribute)
