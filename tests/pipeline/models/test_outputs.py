import torch

from pipeline.models.outputs import NetworkOutput


def test_last_features_are_the_map_or_else_the_pooled_features() -> None:
    logits, pooled, maps = torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 4, 5, 5)
    assert NetworkOutput(logits, pooled, maps).last_features is maps
    assert NetworkOutput(logits, pooled).last_features is pooled
