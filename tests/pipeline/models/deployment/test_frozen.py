from pathlib import Path

import torch

from pipeline.models.clip import build_clip
from pipeline.models.deployment.frozen import FrozenClassifier, FrozenTower
from tests.pipeline.models.deployment.networks import images, teacher
from tests.pipeline.models.small_clip import write_description


def test_classifier_gives_each_of_its_outputs_by_name() -> None:
    network = FrozenClassifier(teacher(stages=True))
    found = dict(zip(network.outputs, network(images()), strict=True))
    expected = teacher(stages=True)(images())
    assert network.outputs[:3] == ("logits", "pooled", "feature_map")
    for name in network.outputs[:3]:
        assert torch.equal(found[name], getattr(expected, name))
    stages = [value for name, value in found.items() if name.startswith("stage")]
    assert len(stages) == len(expected.stage_maps) > 1
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(stages, expected.stage_maps, strict=True))


def test_stages_are_no_outputs_unless_they_are_tapped() -> None:
    assert FrozenClassifier(teacher()).outputs == ("logits", "pooled", "feature_map")


def test_tower_gives_the_embeddings_of_clip(tmp_path: Path) -> None:
    clip = build_clip(str(write_description(tmp_path)))
    network = FrozenTower(clip)
    assert network.takes_half and not any(parameter.requires_grad for parameter in network.parameters())
    assert not any("text" in name or "token" in name for name, _ in network.named_parameters())
    shown = images(2, clip.size)
    assert torch.equal(network(shown)[0], clip.encode_image(shown))
