import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from exporters.student.taps import pooled_map, record_calls  # noqa: E402


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 1, 1)
        self.head = nn.Linear(5, 6)

    def forward(self, x):
        return self.head(self.last(self.first(x)).mean(dim=(2, 3)))


def test_calls_the_classifier_and_the_map_behind_it_are_found() -> None:
    torch.manual_seed(0)
    recorded = record_calls(Net().eval(), 8, "net", remedy="")
    assert [call.name for call in recorded.calls] == ["first", "last", "head"]
    assert recorded.calls[0].taken == (2, 3, 8, 8) and recorded.calls[0].shape == (2, 4, 4, 4)
    ((name, features),) = recorded.classifiers
    assert name == "head" and recorded.logits.shape == (2, 6)
    found = pooled_map(recorded.calls, features)
    assert found is not None and found.name == "last"


def test_features_that_are_no_mean_of_a_map_have_none() -> None:
    torch.manual_seed(0)
    recorded = record_calls(Net().eval(), 8, "net", remedy="")
    assert pooled_map(recorded.calls, recorded.classifiers[0][1] + 1) is None
