import pytest

timm = pytest.importorskip("timm")


def test_tower_is_registered_with_a_quarter_of_the_channels() -> None:
    import pipeline.models.towers  # noqa: F401 (registers it)

    small = timm.create_model("tmkd_resnet10t_quarter", num_classes=0)
    assert small.num_features == timm.create_model("resnet10t", num_classes=0).num_features // 4
    assert sum(parameter.numel() for parameter in small.parameters()) < 350_000
