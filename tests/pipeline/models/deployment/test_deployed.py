from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.models.clip import build_clip
from pipeline.models.deployment.deployed import DeployedClassifier, DeployedTower
from pipeline.models.deployment.settings import Runtime
from tests.pipeline.models.deployment.networks import images, place, teacher
from tests.pipeline.models.small_clip import write_description


@pytest.mark.parametrize("runtime", ["eager", "torch"])
def test_deployed_classifier_gives_what_the_network_gives(tmp_path: Path, runtime: Runtime) -> None:
    """Images of another size are resized; in eager PyTorch equal to the bit."""
    network = teacher(stages=True)
    deployed = DeployedClassifier(network, runtime, place(tmp_path))
    assert deployed.shape == network.shape and deployed.decision.runtime == runtime
    assert deployed.identity == deployed.decision.identity
    with torch.no_grad():
        ours, theirs = deployed(images(4, 24)), network(images(4, 24))
    exact = {"rtol": 0.0, "atol": 0.0} if runtime == "eager" else {"rtol": 1e-4, "atol": 1e-5}
    for name in ("logits", "pooled", "feature_map", "classifier_weight", "classifier_bias"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), **exact)
    assert len(ours.stage_maps) == len(theirs.stage_maps)
    for a, b in zip(ours.stage_maps, theirs.stage_maps, strict=True):
        torch.testing.assert_close(a, b, **exact)


def test_deployed_tower_gives_embeddings_of_unit_length(tmp_path: Path) -> None:
    clip = build_clip(str(write_description(tmp_path)))
    deployed = DeployedTower(clip, "eager", place(tmp_path))
    found = deployed(images(3, 50))
    with torch.no_grad():
        assert torch.equal(found, clip.encode_image(images(3, 50)))
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_exported_teachers_are_proven_at_their_own_size_whatever_the_data_have(
    tmp_path: Path, runtime: Runtime
) -> None:
    clip, network, shown = build_clip(str(write_description(tmp_path))), teacher(), images(4, 24)
    larger = replace(place(tmp_path, key="clip"), images=lambda: images(3, 24))
    tower = DeployedTower(clip, runtime, larger)
    classifier = DeployedClassifier(network, runtime, replace(larger, key="visual"))
    assert (tower.decision.runtime, classifier.decision.runtime) == (runtime, runtime)
    with torch.no_grad():
        torch.testing.assert_close(tower(shown), clip.encode_image(shown), rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(classifier(shown).logits, network(shown).logits, rtol=1e-3, atol=1e-4)
